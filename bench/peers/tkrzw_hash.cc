/* tkrzw_hash.cc - Tkrzw's HashDBM: a hash table in a mapped file. */
#include "tkrzw.h"

#include <tkrzw_dbm_hash.h>
#include <tkrzw_file_mmap.h>

using Database = tkrzw::HashDBM;

static void *open_database(const bench_options *options) {
    Database *database = new Database(std::make_unique<tkrzw::MemoryMapParallelFile>());
    Database::TuningParameters tuning;
    tuning.num_buckets = static_cast<int64_t>(options->entries) * 2;
    check(database->OpenAdvanced(std::string(options->folder) + "/data.tkh", true,
                                 tkrzw::File::OPEN_DEFAULT, tuning));
    return database;
}

int main(int argc, char **argv) {
    adapter hash = Tkrzw<Database>::with("Tkrzw hash", open_database);
    hash.settings[D1] = "MemoryMapParallelFile, num_buckets twice the entries, updates in place";
    hash.sync = Tkrzw<Database>::sync;
    return bench_main(argc, argv, &hash);
}
