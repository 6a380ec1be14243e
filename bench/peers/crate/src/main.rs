// The Rust crate persistent-kv 1.0.2 in the benchmark, at its defaults but for `silent`, the mode of
// the class and, where the work says so, the interval of snapshots. See bench/driver/adapter.h.
use persistent_kv::{Config, PersistentKeyValueStore, SyncMode};
use std::ffi::{c_char, c_int, c_void, CStr, CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

const SNAPSHOTS_DEFAULT: u64 = 0;
const SNAPSHOTS_CALLED: u64 = u64::MAX - 1;
const ABSENT: usize = usize::MAX;

#[repr(C)]
struct Options {
    folder: *const c_char,
    durability: u64,
    snapshots: u64,
    entries: u64,
    key_size: u64,
    value_size: u64,
    threads: u64,
}

#[repr(C)]
struct Bytes {
    data: *const u8,
    size: usize,
}

#[repr(C)]
struct Answer {
    buffer: *mut u8,
    capacity: usize,
    size: usize,
}

#[repr(C)]
struct Adapter {
    name: *const c_char,
    settings: [*const c_char; 3],
    mapped_log: *const c_char,
    open: extern "C" fn(*const Options) -> *mut c_void,
    close: extern "C" fn(*mut c_void),
    session: Option<extern "C" fn(*mut c_void) -> *mut c_void>,
    end_session: Option<extern "C" fn(*mut c_void)>,
    set: extern "C" fn(*mut c_void, Bytes, Bytes),
    get: extern "C" fn(*mut c_void, Bytes, *mut Answer),
    get_many: Option<extern "C" fn(*mut c_void, usize, *const Bytes, *mut Answer)>,
    remove: extern "C" fn(*mut c_void, Bytes),
    scan: extern "C" fn(*mut c_void) -> u64,
    sync: Option<extern "C" fn(*mut c_void)>,
    snapshot: Option<extern "C" fn(*mut c_void)>,
}

extern "C" {
    fn bench_main(argc: c_int, argv: *const *const c_char, store: *const Adapter) -> c_int;
}

// Keys of 16 bytes are text, keys of 8 bytes are integers, which the crate keeps without allocating.
enum Map {
    Text(PersistentKeyValueStore<String, Vec<u8>>),
    Number(PersistentKeyValueStore<u64, Vec<u8>>),
}

struct Store {
    map: Map,
    folder: OsString,
    key_size: u64,
    interval: u64,
}

fn store<'a>(handle: *mut c_void) -> &'a Store {
    unsafe { &*(handle as *const Store) }
}

fn slice<'a>(bytes: Bytes) -> &'a [u8] {
    unsafe { std::slice::from_raw_parts(bytes.data, bytes.size) }
}

// The work's keys of 16 bytes are ASCII.
fn text(key: &[u8]) -> &str {
    unsafe { std::str::from_utf8_unchecked(key) }
}

fn number(key: &[u8]) -> u64 {
    u64::from_le_bytes(key.try_into().expect("a key of 8 bytes"))
}

impl Store {
    fn set(&self, key: &[u8], value: &[u8]) {
        match &self.map {
            Map::Text(map) => map.set(text(key), value),
            Map::Number(map) => map.set(number(key), value),
        }
        .expect("set");
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        match &self.map {
            Map::Text(map) => map.get(text(key)),
            Map::Number(map) => map.get(&number(key)),
        }
    }

    fn remove(&self, key: &[u8]) {
        match &self.map {
            Map::Text(map) => map.unset(text(key)),
            Map::Number(map) => map.unset(&number(key)),
        }
        .expect("unset");
    }

    // The crate does not tell, but its files do. It keeps all the snapshots that it ever published.
    fn snapshots(&self, ending: &str) -> usize {
        std::fs::read_dir(&self.folder)
            .expect("folder")
            .map(|entry| entry.expect("folder").file_name().into_string().expect("name"))
            .filter(|name| name.contains("_0-of-") && name.ends_with(ending))
            .count()
    }

    // The crate makes a snapshot only when it has counted enough writes: here, of a key that no entry
    // has, which is removed again.
    fn snapshot(&self) {
        let key = &[0; 16][..self.key_size as usize];
        let before = self.snapshots("_full.bin");
        let begun = || self.snapshots("_pending.bin") > 0 || self.snapshots("_full.bin") > before;
        for count in 1..=self.interval {
            self.set(key, &[1]);
            if count % 1000 == 0 && begun() {
                break;
            }
        }
        self.remove(key);
        while self.snapshots("_full.bin") == before || self.snapshots("_pending.bin") > 0 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

extern "C" fn open(options: *const Options) -> *mut c_void {
    let options = unsafe { &*options };
    let folder = OsStr::from_bytes(unsafe { CStr::from_ptr(options.folder) }.to_bytes());
    let mut config = Config::default();
    config.silent = true;
    config.sync_mode = match options.durability {
        0 => SyncMode::Buffered,
        1 => SyncMode::BlockNoExplicitSync,
        _ => SyncMode::BlockAndSync,
    };
    config.snapshot_interval = match options.snapshots {
        SNAPSHOTS_DEFAULT => config.snapshot_interval,
        // After loading, some sets, and what `snapshot` adds to them.
        SNAPSHOTS_CALLED => options.entries * 5 / 2,
        never => never,
    };
    let interval = config.snapshot_interval;
    let map = if options.key_size == 8 {
        Map::Number(PersistentKeyValueStore::new(folder, config).expect("open"))
    } else {
        Map::Text(PersistentKeyValueStore::new(folder, config).expect("open"))
    };
    let key_size = options.key_size;
    Box::into_raw(Box::new(Store { map, folder: folder.to_owned(), key_size, interval })) as *mut c_void
}

extern "C" fn close(handle: *mut c_void) {
    drop(unsafe { Box::from_raw(handle as *mut Store) });
}

extern "C" fn set(handle: *mut c_void, key: Bytes, value: Bytes) {
    store(handle).set(slice(key), slice(value));
}

extern "C" fn get(handle: *mut c_void, key: Bytes, answer: *mut Answer) {
    let answer = unsafe { &mut *answer };
    answer.size = ABSENT;
    if let Some(value) = store(handle).get(slice(key)) {
        let count = value.len().min(answer.capacity);
        unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), answer.buffer, count) };
        answer.size = value.len();
    }
}

extern "C" fn remove(handle: *mut c_void, key: Bytes) {
    store(handle).remove(slice(key));
}

extern "C" fn scan(handle: *mut c_void) -> u64 {
    match &store(handle).map {
        Map::Text(map) => map.iter().count() as u64,
        Map::Number(map) => map.iter().count() as u64,
    }
}

extern "C" fn snapshot(handle: *mut c_void) {
    store(handle).snapshot();
}

fn main() {
    let arguments: Vec<CString> = std::env::args_os()
        .map(|argument| CString::new(argument.into_vec()).expect("argument"))
        .collect();
    let mut pointers: Vec<*mut c_char> =
        arguments.into_iter().map(|argument| argument.into_raw()).collect();
    pointers.push(std::ptr::null_mut());
    let adapter = Adapter {
        name: c"Rust crate".as_ptr(),
        settings: [
            c"defaults but SyncMode::Buffered".as_ptr(),
            c"defaults (SyncMode::BlockNoExplicitSync)".as_ptr(),
            c"defaults but SyncMode::BlockAndSync".as_ptr(),
        ],
        mapped_log: std::ptr::null(),
        open,
        close,
        session: None,
        end_session: None,
        set,
        get,
        get_many: None,
        remove,
        scan,
        sync: None,
        snapshot: Some(snapshot),
    };
    let count = pointers.len() as c_int - 1;
    let code = unsafe { bench_main(count, pointers.as_ptr() as *const *const c_char, &adapter) };
    std::process::exit(code);
}
