// SPDX-License-Identifier: Apache-2.0
#include "daemon/sqlite.hpp"

#include <functional>
#include <map>

#include <fcntl.h>
#include <sqlite3.h>

#include "support/system.hpp"

namespace alcove::daemon {

namespace {

Failure refused(sqlite3* database, std::string_view what) {
    const int code = sqlite3_extended_errcode(database) & 0xff;
    const std::string message = std::string(what) + ": " + sqlite3_errmsg(database);
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
        return fail(ErrorCode::Busy, message + " (does another alcoved use this database?)");
    if (code == SQLITE_FULL) return fail(ErrorCode::NoSpace, message);
    if (code == SQLITE_CONSTRAINT) return fail(ErrorCode::AlreadyExists, message);
    return fail(ErrorCode::SystemCall, message);
}

}  // namespace

// Statements that nobody has in hand, by their text. There are as many texts as the code has.
struct Statement::Kept {
    std::map<std::string, sqlite3_stmt*, std::less<>> by_text;

    Kept() = default;
    ~Kept() {
        for (const auto& [text, statement] : by_text)
            sqlite3_finalize(statement);
    }
    Kept(const Kept&) = delete;
    Kept& operator=(const Kept&) = delete;

    sqlite3_stmt* take(std::string_view text) {
        const auto found = by_text.find(text);
        if (found == by_text.end()) return nullptr;
        sqlite3_stmt* const statement = found->second;
        by_text.erase(found);
        return statement;
    }
};

void Statement::PutBack::operator()(sqlite3_stmt* statement) const {
    const auto place = kept.lock();
    if (place == nullptr || place->by_text.contains(std::string_view(sqlite3_sql(statement)))) {
        sqlite3_finalize(statement);
        return;
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    place->by_text.emplace(sqlite3_sql(statement), statement);
}

Statement& Statement::bind(int index, int64_t value) {
    const int code = sqlite3_bind_int64(statement_.get(), index, value);
    if (bind_error_ == 0) bind_error_ = code;
    return *this;
}

Statement& Statement::bind(int index, std::string_view value) {
    const int code = sqlite3_bind_text64(statement_.get(), index, value.data() != nullptr ? value.data() : "",
                                         value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    if (bind_error_ == 0) bind_error_ = code;
    return *this;
}

Statement& Statement::bind(int index, ByteView value) {
    const int code =
        sqlite3_bind_blob64(statement_.get(), index, value.data(), value.size(), SQLITE_TRANSIENT);
    if (bind_error_ == 0) bind_error_ = code;
    return *this;
}

Statement& Statement::bind_null(int index) {
    const int code = sqlite3_bind_null(statement_.get(), index);
    if (bind_error_ == 0) bind_error_ = code;
    return *this;
}

Result<bool> Statement::step() {
    sqlite3* database = sqlite3_db_handle(statement_.get());
    if (bind_error_ != 0) return refused(database, "binding a parameter");
    const int code = sqlite3_step(statement_.get());
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return refused(database, "the database");
}

Result<void> Statement::run() {
    while (TRY(step())) {
    }
    return {};
}

bool Statement::is_null(int column) const {
    return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

int64_t Statement::integer(int column) const {
    return sqlite3_column_int64(statement_.get(), column);
}

std::string Statement::text(int column) const {
    const auto* text = sqlite3_column_text(statement_.get(), column);
    if (text == nullptr) return {};
    return {reinterpret_cast<const char*>(text),
            static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

Bytes Statement::blob(int column) const {
    const auto* data = static_cast<const uint8_t*>(sqlite3_column_blob(statement_.get(), column));
    if (data == nullptr) return {};
    return {data, data + sqlite3_column_bytes(statement_.get(), column)};
}

Database::Database(sqlite3* database) : database_(database), kept_(std::make_shared<Statement::Kept>()) {}

void Database::Close::operator()(sqlite3* database) const {
    sqlite3_close_v2(database);
}

Result<Database> Database::open(const std::string& path) {
    // SQLite would make it with the umask's mode.
    TRY(sys::open(path, O_RDWR | O_CREAT, 0600));
    sqlite3* raw = nullptr;
    const int code =
        sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, nullptr);
    Database database(raw);
    if (code != SQLITE_OK) return refused(raw, "open " + path);
    sqlite3_extended_result_codes(raw, 1);
    sqlite3_busy_timeout(raw, 500);
    // The lock is taken by the first write, so there is one.
    TRY(database
            .execute("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON;"
                     "BEGIN IMMEDIATE; COMMIT;")
            .context(path));
    return database;
}

Result<Statement> Database::prepare(std::string_view sql) const {
    if (auto* kept = kept_->take(sql)) return Statement(kept, kept_);
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()),
                           SQLITE_PREPARE_PERSISTENT, &raw, nullptr) != SQLITE_OK)
        return refused(database_.get(), "preparing a statement");
    return Statement(raw, kept_);
}

Result<void> Database::execute(std::string_view sql) const {
    if (sqlite3_exec(database_.get(), std::string(sql).c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
        return refused(database_.get(), "the database");
    return {};
}

Result<void> Database::set_outlives(Outlives outlives) {
    if (outlives_ == outlives) return {};
    TRY(execute(outlives == Outlives::PowerLoss ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
    outlives_ = outlives;
    return {};
}

Result<Transaction> Transaction::begin(Database& database, Outlives outlives) {
    TRY(database.set_outlives(outlives));
    auto statement = TRY(database.prepare("BEGIN IMMEDIATE"));
    TRY(statement.run());
    return Transaction(database);
}

Transaction::~Transaction() {
    // A rollback that fails leaves nothing behind either: the connection is what counts.
    if (database_ != nullptr) static_cast<void>(database_->execute("ROLLBACK").has_value());
}

Result<void> Transaction::commit() {
    auto statement = TRY(database_->prepare("COMMIT"));
    TRY(statement.run());
    database_ = nullptr;
    return {};
}

}  // namespace alcove::daemon
