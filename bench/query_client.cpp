// One connection to a server, measured without an interpreter in the way: reads
// commands of bench.py on standard input, a line each, and answers every one
// with "ok BYTES" or "error BYTES", a newline, and so many bytes.
//
//   query_client CONNINFO          its first answer is libpq's version
//   sql TEXT                       values end with 0x1f, rows with 0x1e
//   values TYPE FILE               which queries and rows are made of
//   prepare NAME TEXT              a statement; $1 is of that type
//   run NAME FIRST COUNT           queries FIRST .. FIRST + COUNT - 1
//   floor COUNT                    a one-row SELECT as often
//   copy TABLE ID FIRST COUNT BATCH    values FIRST .. FIRST + COUNT - 1 as rows
//   insert TABLE ID FIRST COUNT BATCH  (id, embedding), ID the first; so many of
//                                  them in each COPY or prepared multi-row INSERT
//
// FILE: u32 values, then of each u32 bytes and what the type's receive function
// reads, whatever the type. The answer to run: COUNT x i64 nanoseconds, COUNT x
// i64 rows found, then the ids, i64 each; to floor, copy and insert: an i64 of
// nanoseconds for each statement. Parameters, ids and what is copied are binary.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <libpq-fe.h>

namespace
{

constexpr Oid INT4_OID = 23; // of pg_type, the same in every server

int64_t
now()
{
	timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

// Integers of libpq's binary format are big-endian, whatever their width.
template <typename Unsigned>
void
put(std::string &out, Unsigned value)
{
	for (int shift = 8 * (sizeof value - 1); shift >= 0; shift -= 8)
	{
		out += static_cast<char>(value >> shift);
	}
}

int64_t
get(const char *bytes, int length)
{
	// The sign comes with the first byte.
	int64_t value = length > 0 && static_cast<signed char>(bytes[0]) < 0 ? -1 : 0;

	for (int i = 0; i < length; i++)
	{
		value = static_cast<int64_t>(static_cast<uint64_t>(value) << 8) |
				static_cast<unsigned char>(bytes[i]);
	}
	return value;
}

void
append(std::string &out, const std::vector<int64_t> &values)
{
	out.append(reinterpret_cast<const char *>(values.data()), values.size() * sizeof(int64_t));
}

std::vector<std::string>
read_values(const std::string &path)
{
	std::ifstream file(path, std::ios::binary);
	uint32_t count = 0;

	if (!file.read(reinterpret_cast<char *>(&count), sizeof count))
	{
		throw std::runtime_error("cannot read " + path);
	}
	std::vector<std::string> messages(count);
	for (std::string &message : messages)
	{
		uint32_t bytes = 0;

		file.read(reinterpret_cast<char *>(&bytes), sizeof bytes);
		message.resize(file ? bytes : 0);
		if (!file.read(message.data(), static_cast<std::streamsize>(message.size())))
		{
			throw std::runtime_error(path + " is too short");
		}
	}
	return messages;
}

class Client
{
public:
	explicit Client(const char *conninfo) : connection_(PQconnectdb(conninfo))
	{
		if (PQstatus(connection_) != CONNECTION_OK)
		{
			throw std::runtime_error(PQerrorMessage(connection_));
		}
		// Told apart from an error by nobody, and of no use to a benchmark.
		PQsetNoticeProcessor(
			connection_, [](void *, const char *) {}, nullptr);
	}

	Client(const Client &) = delete;
	Client &operator=(const Client &) = delete;

	~Client()
	{
		PQfinish(connection_);
	}

	std::string answer(const std::string &line);

private:
	std::string sql(const std::string &text);
	void prepare(const std::string &name, Oid type, const std::string &text);
	Oid type_of(const std::string &name);
	std::string run(const std::string &name, size_t first, size_t count);
	std::string floor(size_t count);
	void copy(const std::string &table, int64_t id, size_t first, size_t count);
	void prepare_insert(const std::string &table, size_t rows);
	void insert(int64_t id, size_t first, size_t count);
	std::string write(bool copies, std::istringstream &words);

	// Throws the server's message unless the result is of that kind.
	PGresult *
	checked(PGresult *result, ExecStatusType status)
	{
		if (PQresultStatus(result) != status)
		{
			PQclear(result);
			throw std::runtime_error(PQerrorMessage(connection_));
		}
		return result;
	}

	PGresult *
	execute(const char *name, const std::string &message)
	{
		const char *value = message.data();
		int length = static_cast<int>(message.size());
		int binary = 1;

		return PQexecPrepared(connection_, name, 1, &value, &length, &binary, 1);
	}

	PGconn *connection_;
	std::vector<std::string> values_; // what the type's receive function reads
	Oid type_ = 0;
	bool has_floor_ = false;
	std::string inserts_; // what "insert" is prepared for
};

std::string
Client::sql(const std::string &text)
{
	PGresult *result = PQexec(connection_, text.c_str());
	std::string out;

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
	{
		checked(result, PGRES_TUPLES_OK);
	}
	for (int row = 0; row < PQntuples(result); row++)
	{
		for (int column = 0; column < PQnfields(result); column++)
		{
			out += PQgetvalue(result, row, column);
			out += '\x1f';
		}
		out += '\x1e';
	}
	PQclear(result);
	return out;
}

Oid
Client::type_of(const std::string &name)
{
	const char *value = name.c_str();
	PGresult *result = checked(PQexecParams(connection_, "SELECT $1::text::regtype::oid", 1,
											nullptr, &value, nullptr, nullptr, 0),
							   PGRES_TUPLES_OK);
	Oid oid = static_cast<Oid>(std::strtoul(PQgetvalue(result, 0, 0), nullptr, 10));

	PQclear(result);
	return oid;
}

void
Client::prepare(const std::string &name, Oid type, const std::string &text)
{
	PQclear(
		checked(PQprepare(connection_, name.c_str(), text.c_str(), 1, &type), PGRES_COMMAND_OK));
}

std::string
Client::run(const std::string &name, size_t first, size_t count)
{
	std::vector<int64_t> times(count), found(count), ids;
	std::string out;

	if (first > values_.size() || count > values_.size() - first)
	{
		throw std::runtime_error("no such query");
	}
	// Memory of our own is not what is measured.
	ids.reserve(count * 128);
	for (size_t i = 0; i < count; i++)
	{
		int64_t start = now();
		PGresult *result = execute(name.c_str(), values_[first + i]);
		int rows = PQntuples(result);
		for (int row = 0; row < rows; row++)
		{
			ids.push_back(get(PQgetvalue(result, row, 0), PQgetlength(result, row, 0)));
		}
		times[i] = now() - start;
		found[i] = rows;
		PQclear(checked(result, PGRES_TUPLES_OK));
	}
	append(out, times);
	append(out, found);
	append(out, ids);
	return out;
}

// What a client and a server need for any prepared statement at all.
std::string
Client::floor(size_t count)
{
	std::vector<int64_t> times(count);
	std::string one, out;
	int64_t sum = 0;

	if (!has_floor_)
	{
		prepare("floor", INT4_OID, "SELECT $1::int4");
		has_floor_ = true;
	}
	put(one, uint32_t{1});
	for (int64_t &time : times)
	{
		int64_t start = now();
		PGresult *result = execute("floor", one);
		if (PQntuples(result) == 1)
		{
			sum += get(PQgetvalue(result, 0, 0), PQgetlength(result, 0, 0));
		}
		time = now() - start;
		PQclear(checked(result, PGRES_TUPLES_OK));
	}
	if (sum != static_cast<int64_t>(count))
	{
		throw std::runtime_error("SELECT 1 is not 1");
	}
	append(out, times);
	return out;
}

// One COPY, whose rows are made while it runs: that is a copy of their bytes.
void
Client::copy(const std::string &table, int64_t id, size_t first, size_t count)
{
	constexpr size_t piece = 1 << 16;
	std::string text = "COPY " + table + " (id, embedding) FROM STDIN (FORMAT binary)";
	std::string out("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", 19);
	bool sent = true;

	PQclear(checked(PQexec(connection_, text.c_str()), PGRES_COPY_IN));
	out.reserve(2 * piece);
	for (size_t i = 0; i < count && sent; i++)
	{
		const std::string &message = values_[first + i];

		put(out, uint16_t{2});
		put(out, uint32_t{4});
		put(out, static_cast<uint32_t>(id + static_cast<int64_t>(i)));
		put(out, static_cast<uint32_t>(message.size()));
		out += message;
		if (out.size() >= piece)
		{
			sent = PQputCopyData(connection_, out.data(), static_cast<int>(out.size())) == 1;
			out.clear();
		}
	}
	put(out, uint16_t{0xffff});
	sent = sent && PQputCopyData(connection_, out.data(), static_cast<int>(out.size())) == 1;
	sent = sent && PQputCopyEnd(connection_, nullptr) == 1;
	PGresult *result = PQgetResult(connection_);
	bool done = sent && PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);
	std::string error = PQerrorMessage(connection_);
	while ((result = PQgetResult(connection_)))
	{
		PQclear(result);
	}
	if (!done)
	{
		throw std::runtime_error(error);
	}
}

// INSERT INTO TABLE (id, embedding) VALUES ($1, $2), ($3, $4), ...
void
Client::prepare_insert(const std::string &table, size_t rows)
{
	std::string text = "INSERT INTO " + table + " (id, embedding) VALUES ";
	std::vector<Oid> types;

	if (inserts_ == table + " " + std::to_string(rows))
	{
		return;
	}
	if (!inserts_.empty())
	{
		PQclear(checked(PQexec(connection_, "DEALLOCATE \"insert\""), PGRES_COMMAND_OK));
		inserts_.clear();
	}
	for (size_t row = 0; row < rows; row++)
	{
		text += (row == 0 ? "($" : ", ($") + std::to_string(2 * row + 1) + ", $" +
				std::to_string(2 * row + 2) + ")";
		types.insert(types.end(), {INT4_OID, type_});
	}
	PQclear(checked(PQprepare(connection_, "insert", text.c_str(), static_cast<int>(types.size()),
							  types.data()),
					PGRES_COMMAND_OK));
	inserts_ = table + " " + std::to_string(rows);
}

void
Client::insert(int64_t id, size_t first, size_t count)
{
	std::vector<std::string> ids(count);
	std::vector<const char *> values;
	std::vector<int> lengths, formats(2 * count, 1);

	for (size_t i = 0; i < count; i++)
	{
		put(ids[i], static_cast<uint32_t>(id + static_cast<int64_t>(i)));
		for (const std::string *each : {&ids[i], &values_[first + i]})
		{
			values.push_back(each->data());
			lengths.push_back(static_cast<int>(each->size()));
		}
	}
	PQclear(checked(PQexecPrepared(connection_, "insert", static_cast<int>(values.size()),
								   values.data(), lengths.data(), formats.data(), 1),
					PGRES_COMMAND_OK));
}

std::string
Client::write(bool copies, std::istringstream &words)
{
	std::string table, out;
	std::vector<int64_t> times;
	int64_t id = 0;
	size_t first = 0, count = 0, batch = 0;

	if (!(words >> table >> id >> first >> count >> batch) || batch == 0 ||
		first > values_.size() || count > values_.size() - first)
	{
		throw std::runtime_error("no such rows");
	}
	for (size_t done = 0; done < count; done += batch)
	{
		size_t rows = std::min(batch, count - done);

		if (!copies)
		{
			prepare_insert(table, rows);
		}
		int64_t start = now();
		if (copies)
		{
			copy(table, id + static_cast<int64_t>(done), first + done, rows);
		}
		else
		{
			insert(id + static_cast<int64_t>(done), first + done, rows);
		}
		times.push_back(now() - start);
	}
	append(out, times);
	return out;
}

std::string
Client::answer(const std::string &line)
{
	std::istringstream words(line);
	std::string command, name, type, text;
	size_t first = 0, count = 0;

	words >> command;
	if (command == "sql" && std::getline(words >> std::ws, text))
	{
		return sql(text);
	}
	if (command == "values" && words >> type && std::getline(words >> std::ws, text))
	{
		values_ = read_values(text);
		type_ = type_of(type);
		return "";
	}
	if (command == "prepare" && words >> name && std::getline(words >> std::ws, text))
	{
		prepare(name, type_, text);
		return "";
	}
	if (command == "run" && words >> name >> first >> count)
	{
		return run(name, first, count);
	}
	if (command == "floor" && words >> count)
	{
		return floor(count);
	}
	if (command == "copy" || command == "insert")
	{
		return write(command == "copy", words);
	}
	throw std::runtime_error("query_client: no such command: " + line);
}

void
reply(const char *verdict, const std::string &payload)
{
	std::printf("%s %zu\n", verdict, payload.size());
	std::fwrite(payload.data(), 1, payload.size(), stdout);
	std::fflush(stdout);
}

} // namespace

int
main(int argc, char **argv)
{
	if (argc != 2)
	{
		std::fprintf(stderr, "usage: query_client CONNINFO\n");
		return 2;
	}
	try
	{
		Client client(argv[1]);
		std::string line;

		reply("ok", std::to_string(PQlibVersion()));
		while (std::getline(std::cin, line))
		{
			try
			{
				reply("ok", client.answer(line));
			}
			catch (const std::exception &error)
			{
				reply("error", error.what());
			}
		}
	}
	catch (const std::exception &error)
	{
		reply("error", error.what());
		return 1;
	}
	return 0;
}
