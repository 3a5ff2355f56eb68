// SPDX-License-Identifier: Apache-2.0
//
// What a foreign archive may name, and what it may not: nothing is ever written through a symlink, because
// a path whose parent is no directory is refused.
#include "eif/file_tree.hpp"

#include <deque>

#include "eif/build_refusal.hpp"

namespace alcove::eif {

namespace {

std::string_view parent_of(std::string_view path) {
    const size_t slash = path.rfind('/');
    return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

// Calls `part` with what stands between slashes, empty parts left out.
template <typename Part>
void each_part(std::string_view path, Part&& part) {
    while (!path.empty()) {
        const size_t slash = std::min(path.find('/'), path.size());
        if (slash > 0) part(path.substr(0, slash));
        path.remove_prefix(std::min(slash + 1, path.size()));
    }
}

}  // namespace

uint64_t File::size() const {
    if (const auto* bytes = std::get_if<Bytes>(&content)) return bytes->size();
    return std::get<DiskContent>(content).size;
}

Result<std::string> FileTree::normalize(std::string_view path) {
    const std::string shown = "\"" + std::string(path.substr(0, 100)) + "\"";
    if (path.empty()) return refuse("a file has an empty path");
    if (path.front() == '/') return refuse("the path " + shown + " is absolute");
    if (path.find('\0') != std::string_view::npos) return refuse("the path " + shown + " has a zero byte");
    std::string normal;
    bool climbs = false;
    bool too_long = false;
    each_part(path, [&](std::string_view part) {
        if (part == ".") return;
        climbs |= part == "..";
        too_long |= part.size() > kMaxName;
        if (!normal.empty()) normal += '/';
        normal += part;
    });
    if (climbs) return refuse("the path " + shown + " has a \"..\"");
    if (too_long || normal.size() > kMaxPath) return refuse("the path " + shown + "... is too long");
    return normal;
}

Result<void> FileTree::make_parents(const std::string& path) {
    const std::string parent(parent_of(path));
    if (parent.empty()) return {};
    const auto found = files_.find(parent);
    if (found == files_.end()) return add(parent, File::directory(0755));
    if (found->second->type != FileType::Directory)
        return refuse("\"" + path + "\" lies below \"" + parent + "\", which is no directory");
    return {};
}

Result<void> FileTree::add_shared(const std::string& path, std::shared_ptr<const File> file) {
    if (files_.size() >= kMaxFiles) return refuse("more than " + std::to_string(kMaxFiles) + " files");
    if (path.size() > kMaxPath) return refuse("the path \"" + path.substr(0, 100) + "\"... is too long");
    TRY(make_parents(path));
    auto& place = files_[path];
    const bool was_directory = place != nullptr && place->type == FileType::Directory;
    if (was_directory && file->type != FileType::Directory)
        return refuse("\"" + path + "\" is a directory and something else");
    place = std::move(file);
    return {};
}

Result<void> FileTree::add(const std::string& path, File file) {
    return add_shared(path, std::make_shared<const File>(std::move(file)));
}

Result<void> FileTree::add_link(const std::string& path, const std::string& existing) {
    const auto found = files_.find(existing);
    if (found == files_.end())
        return refuse("\"" + path + "\" is a hard link to \"" + existing + "\", which is not there");
    if (found->second->type == FileType::Directory)
        return refuse("\"" + path + "\" is a hard link to the directory \"" + existing + "\"");
    return add_shared(path, found->second);
}

Result<void> FileTree::add_tree(const std::string& directory, const FileTree& other) {
    TRY(add(directory, File::directory(0755)));
    for (const auto& [path, file] : other.files_)
        TRY(add_shared(directory + "/" + path, file));
    return {};
}

const File* FileTree::find(std::string_view path) const {
    const auto found = files_.find(path);
    return found == files_.end() ? nullptr : found->second.get();
}

const File* FileTree::resolve(std::string_view path) const {
    // As many links as Linux follows (MAXSYMLINKS).
    constexpr int kMaxLinks = 40;
    std::deque<std::string> ahead;
    each_part(path, [&](std::string_view part) { ahead.emplace_back(part); });
    std::string place;
    const File* file = nullptr;
    for (int links = 0; !ahead.empty();) {
        const std::string part = std::move(ahead.front());
        ahead.pop_front();
        if (part == ".") continue;
        if (part == "..") {
            place = parent_of(place);
            file = find(place);
            continue;
        }
        const std::string next = place.empty() ? part : place + "/" + part;
        file = find(next);
        if (file == nullptr) return nullptr;
        if (file->type != FileType::Symlink) {
            if (file->type != FileType::Directory && !ahead.empty()) return nullptr;
            place = next;
            continue;
        }
        if (++links > kMaxLinks) return nullptr;
        const std::string_view target = as_text(std::get<Bytes>(file->content));
        if (target.starts_with('/')) place.clear();
        std::deque<std::string> parts;
        each_part(target, [&](std::string_view target_part) { parts.emplace_back(target_part); });
        ahead.insert(ahead.begin(), parts.begin(), parts.end());
        file = nullptr;
    }
    return file;
}

}  // namespace alcove::eif
