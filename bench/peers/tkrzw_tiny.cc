/* tkrzw_tiny.cc - Tkrzw's TinyDBM: a hash table in memory. */
#include "tkrzw.h"

#include <tkrzw_dbm_tiny.h>

using Database = tkrzw::TinyDBM;

static void *open_database(const bench_options *options) {
    return new Database(static_cast<int64_t>(options->entries) * 2);
}

int main(int argc, char **argv) {
    adapter tiny = Tkrzw<Database>::with("Tkrzw tiny", open_database);
    tiny.settings[D0] = "num_buckets twice the entries";
    return bench_main(argc, argv, &tiny);
}
