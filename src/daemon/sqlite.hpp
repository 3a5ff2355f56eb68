// SPDX-License-Identifier: Apache-2.0
//
// SQLite as Results: a database, prepared statements, transactions. No SQL is built from values anywhere;
// they are bound.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "support/bytes.hpp"
#include "support/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace alcove::daemon {

class Statement {
  public:
    // Parameters count from 1. Texts and blobs are copied.
    Statement& bind(int index, int64_t value);
    Statement& bind(int index, uint64_t value) { return bind(index, static_cast<int64_t>(value)); }
    Statement& bind(int index, uint32_t value) { return bind(index, static_cast<int64_t>(value)); }
    Statement& bind(int index, bool value) { return bind(index, static_cast<int64_t>(value)); }
    Statement& bind(int index, std::string_view value);
    Statement& bind(int index, const char* value) { return bind(index, std::string_view(value)); }
    Statement& bind(int index, ByteView value);
    Statement& bind_null(int index);

    Result<bool> step();             // true: a row is there
    Result<void> run();              // to the end; rows are dropped
    bool is_null(int column) const;  // columns count from 0
    int64_t integer(int column) const;
    std::string text(int column) const;
    Bytes blob(int column) const;

  private:
    friend class Database;
    struct Kept;
    struct PutBack {
        std::weak_ptr<Kept> kept;
        void operator()(sqlite3_stmt* statement) const;
    };
    Statement(sqlite3_stmt* statement, const std::shared_ptr<Kept>& kept)
        : statement_(statement, PutBack{kept}) {}
    std::unique_ptr<sqlite3_stmt, PutBack> statement_;
    int bind_error_ = 0;  // the first one; step() reports it
};

// What a commit outlives. A database is whole after a loss of power in either case; SQLite, "PRAGMA
// synchronous".
enum class Outlives { PowerLoss, ItsProcess };

class Database {
  public:
    // Makes the file (0600) if it is not there. WAL, foreign keys, and exclusively locked: ErrorCode::Busy
    // when another process has it.
    static Result<Database> open(const std::string& path);

    // Compiled once for each text, and kept: compiling takes longer than most of them.
    Result<Statement> prepare(std::string_view sql) const;
    Result<void> execute(std::string_view sql) const;  // several statements, no parameters

  private:
    friend class Transaction;
    struct Close {
        void operator()(sqlite3* database) const;
    };
    explicit Database(sqlite3* database);
    // Of what is committed from now on.
    Result<void> set_outlives(Outlives outlives);

    std::unique_ptr<sqlite3, Close> database_;
    std::shared_ptr<Statement::Kept> kept_;  // goes before the database
    std::optional<Outlives> outlives_;
};

// Rolls back unless committed. What is written outside of one outlives what the last one did.
class Transaction {
  public:
    static Result<Transaction> begin(Database& database, Outlives outlives = Outlives::PowerLoss);
    Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    Transaction& operator=(Transaction&&) = delete;
    ~Transaction();
    Result<void> commit();

  private:
    explicit Transaction(const Database& database) : database_(&database) {}
    const Database* database_;  // borrowed; null when over
};

}  // namespace alcove::daemon
