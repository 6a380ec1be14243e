// The Rust crate persistent-kv 1.0.2 in the benchmark, at its defaults but for `silent` and, where
// the workload says so, the interval of snapshots. See bench/workload.h.
use persistent_kv::{Config, PersistentKeyValueStore};
use std::ffi::{c_char, c_int, c_void, CStr, CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

const KEY_SIZE: usize = 16;
const VALUE_SIZE: usize = 100;
const INTERVAL_DEFAULT: u64 = 0;

type Store = PersistentKeyValueStore<String, Vec<u8>>;

#[repr(C)]
struct Activity {
    published: u64,
    running: u64,
}

#[repr(C)]
struct Adapter {
    open: extern "C" fn(*const c_char, u64) -> *mut c_void,
    close: extern "C" fn(*mut c_void),
    set: extern "C" fn(*mut c_void, *const u8, *const u8),
    get: extern "C" fn(*mut c_void, *const u8, *mut u8) -> usize,
    memory: extern "C" fn(*mut c_void) -> u64,
    activity: extern "C" fn(*mut c_void, *const c_char, *mut Activity),
}

extern "C" {
    fn workload_main(argc: c_int, argv: *const *const c_char, store: *const Adapter) -> c_int;
}

fn path<'a>(folder: *const c_char) -> &'a OsStr {
    OsStr::from_bytes(unsafe { CStr::from_ptr(folder) }.to_bytes())
}

fn store<'a>(handle: *mut c_void) -> &'a Store {
    unsafe { &*(handle as *const Store) }
}

// The workload's keys are ASCII.
fn text<'a>(key: *const u8) -> &'a str {
    unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(key, KEY_SIZE)) }
}

extern "C" fn open(folder: *const c_char, interval: u64) -> *mut c_void {
    let mut config = Config::default();
    config.silent = true;
    if interval != INTERVAL_DEFAULT {
        config.snapshot_interval = interval;
    }
    let store = Store::new(path(folder), config).expect("open");
    Box::into_raw(Box::new(store)) as *mut c_void
}

extern "C" fn close(handle: *mut c_void) {
    drop(unsafe { Box::from_raw(handle as *mut Store) });
}

extern "C" fn set(handle: *mut c_void, key: *const u8, value: *const u8) {
    let value = unsafe { std::slice::from_raw_parts(value, VALUE_SIZE) };
    store(handle).set(text(key), value).expect("set");
}

extern "C" fn get(handle: *mut c_void, key: *const u8, result: *mut u8) -> usize {
    let Some(value) = store(handle).get(text(key)) else {
        return 0;
    };
    let count = value.len().min(VALUE_SIZE);
    unsafe { std::ptr::copy_nonoverlapping(value.as_ptr(), result, count) };
    value.len()
}

extern "C" fn memory(_: *mut c_void) -> u64 {
    0
}

// The crate does not tell, but its files do. It keeps all the snapshots that it ever published.
extern "C" fn activity(_: *mut c_void, folder: *const c_char, result: *mut Activity) {
    let names = || {
        std::fs::read_dir(path(folder))
            .expect("folder")
            .map(|entry| entry.expect("folder").file_name().into_string().expect("name"))
    };
    let first_shard = |name: &String| name.contains("_0-of-");
    let result = unsafe { &mut *result };
    result.running = names().any(|name| name.ends_with("_pending.bin")) as u64;
    result.published =
        names().filter(|name| first_shard(name) && name.ends_with("_full.bin")).count() as u64;
}

fn main() {
    let arguments: Vec<CString> = std::env::args_os()
        .map(|argument| CString::new(argument.into_vec()).expect("argument"))
        .collect();
    let pointers: Vec<*const c_char> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    let adapter = Adapter { open, close, set, get, memory, activity };
    let code = unsafe { workload_main(pointers.len() as c_int, pointers.as_ptr(), &adapter) };
    std::process::exit(code);
}
