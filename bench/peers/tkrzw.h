/* tkrzw.h - what the adapters of Tkrzw's databases have in common. C++, since that is Tkrzw's own
 * interface: its C one copies each value once more. */
#ifndef BENCH_TKRZW_H
#define BENCH_TKRZW_H

#include <tkrzw_dbm.h>

#include <cstdio>
#include <cstdlib>

#include "../driver/adapter.h"

inline void check(const tkrzw::Status &status) {
    if (status.IsOK()) return;
    fprintf(stderr, "tkrzw: %s\n", std::string(status).c_str());
    exit(1);
}

inline std::string_view view_of(bench_bytes bytes) {
    return {static_cast<const char *>(bytes.data), bytes.size};
}

/* Copies the value straight out of the database's memory. */
class Copy final : public tkrzw::DBM::RecordProcessor {
  public:
    explicit Copy(bench_answer *answer) : answer_(answer) {}
    std::string_view ProcessFull(std::string_view, std::string_view value) override {
        bench_answer_with(answer_, value.data(), value.size());
        return NOOP;
    }
    std::string_view ProcessEmpty(std::string_view) override {
        answer_->size = ABSENT;
        return NOOP;
    }

  private:
    bench_answer *answer_;
};

class Count final : public tkrzw::DBM::RecordProcessor {
  public:
    uint64_t touched = 0;
    std::string_view ProcessFull(std::string_view key, std::string_view value) override {
        touched += bench_touch(key.data()) + bench_touch(value.data());
        return NOOP;
    }
};

/* Everything but open. */
template <class Database> struct Tkrzw {
    static Database *of(void *store) { return static_cast<Database *>(store); }

    static void close(void *store) {
        if (of(store)->IsOpen()) check(of(store)->Close());
        delete of(store);
    }
    static void set(void *store, bench_bytes key, bench_bytes value) {
        check(of(store)->Set(view_of(key), view_of(value)));
    }
    static void get(void *store, bench_bytes key, bench_answer *answer) {
        Copy copy(answer);
        check(of(store)->Process(view_of(key), &copy, false));
    }
    static void remove(void *store, bench_bytes key) { check(of(store)->Remove(view_of(key))); }
    static uint64_t scan(void *store) {
        Count count;
        check(of(store)->ProcessEach(&count, false));
        return count.touched / 2;
    }
    static void sync(void *store) { check(of(store)->Synchronize(true)); }

    static adapter with(const char *name, void *(*open)(const bench_options *)) {
        adapter result = {};
        result.name = name;
        result.open = open;
        result.close = close;
        result.set = set;
        result.get = get;
        result.remove = remove;
        result.scan = scan;
        return result;
    }
};

#endif
