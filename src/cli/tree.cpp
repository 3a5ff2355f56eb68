// SPDX-License-Identifier: Apache-2.0
#include "cli/tree.hpp"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

namespace alcove::cli {

namespace {

using codec::json::Json;

std::string leaf_text(const Json& value) {
    if (value.is_null()) return "-";
    if (value.is_string()) return value.get<std::string>();
    if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
    return codec::json::dump(value);
}

bool is_leaf(const Json& value) {
    return !value.is_structured() || value.empty();
}

void render(const Json& value, size_t depth, std::string& text) {
    const std::string indent(depth * 2, ' ');
    if (value.is_array()) {
        const bool flat = std::ranges::all_of(value, is_leaf);
        if (flat) {
            std::string line;
            for (const auto& item : value)
                line.append(line.empty() ? "" : " ").append(leaf_text(item));
            text += indent + line + "\n";
            return;
        }
        size_t number = 0;
        for (const auto& item : value) {
            text += indent + std::to_string(number++) + ":\n";
            render(item, depth + 1, text);
        }
        return;
    }
    for (auto it = value.begin(); it != value.end(); ++it) {
        const bool flat_array = it->is_array() && std::ranges::all_of(*it, is_leaf);
        if (is_leaf(*it)) {
            text += indent + it.key() + ": " + (it->is_structured() ? "-" : leaf_text(*it)) + "\n";
        } else if (flat_array) {
            std::string line;
            render(*it, 0, line);
            text += indent + it.key() + ": " + line;
        } else {
            text += indent + it.key() + ":\n";
            render(*it, depth + 1, text);
        }
    }
}

std::string names_of(const Json& value) {
    std::string names;
    for (auto it = value.begin(); it != value.end(); ++it)
        names +=
            (names.empty() ? "" : ", ") + (value.is_object() ? it.key() : std::to_string(it - value.begin()));
    return names.empty() ? "nothing" : names;
}

}  // namespace

Result<const Json*> find_part(const Json& tree, const std::string& path) {
    const Json* part = &tree;
    size_t begin = 0;
    while (begin < path.size()) {
        const size_t end = std::min(path.find('.', begin), path.size());
        const std::string name = path.substr(begin, end - begin);
        const Json* next = nullptr;
        if (part->is_object()) {
            const auto found = part->find(name);
            if (found != part->end()) next = &*found;
        } else if (part->is_array()) {
            size_t index = 0;
            const auto [last, error] = std::from_chars(name.data(), name.data() + name.size(), index);
            if (error == std::errc{} && last == name.data() + name.size() && index < part->size())
                next = &(*part)[index];
        }
        if (next == nullptr)
            return fail(ErrorCode::NotFound, "the tree has no '" + name + "' at '" + path.substr(0, begin) +
                                                 "'; there is " + names_of(*part));
        part = next;
        begin = end + 1;
    }
    return part;
}

std::string render_tree(const Json& tree) {
    if (is_leaf(tree)) return (tree.is_structured() ? "-" : leaf_text(tree)) + "\n";
    std::string text;
    render(tree, 0, text);
    return text;
}

}  // namespace alcove::cli
