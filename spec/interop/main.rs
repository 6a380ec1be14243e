// The crate's side of `make interop`: writes and dumps folders with persistent-kv 1.0.2.
//
//     interop write TYPE FOLDER INTERVAL   obeys lines of stdin: "set KEY VALUE", "unset KEY"
//     interop dump TYPE FOLDER             prints a line "KEY VALUE" per entry
//
// KEY and VALUE are in hexadecimal; an integer key is 8 bytes, little-endian. INTERVAL is the number
// of writes between snapshots.
use persistent_kv::{Config, Deserializable, PersistentKeyValueStore, Serializable};
use std::io::BufRead;

type Failure = Box<dyn std::error::Error + Send + Sync>;

// A type of keys, and how it looks as the bytes of a dump.
trait Key: Serializable + Deserializable {
    fn from_dump(bytes: &[u8]) -> Self;
    fn to_dump(&self) -> Vec<u8>;
}

impl Key for String {
    fn from_dump(bytes: &[u8]) -> Self {
        String::from_utf8(bytes.to_vec()).expect("the crate wants keys to be UTF-8")
    }
    fn to_dump(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

macro_rules! integer_key {
    ($($integer:ty)*) => { $(
        impl Key for $integer {
            fn from_dump(bytes: &[u8]) -> Self {
                // The bytes above the integer's own are padding.
                u64::from_le_bytes(bytes.try_into().expect("8 bytes")) as $integer
            }
            fn to_dump(&self) -> Vec<u8> {
                let mut bytes = self.to_le_bytes().to_vec();
                bytes.resize(8, 0);
                bytes
            }
        }
    )* };
}

integer_key!(u64 i64 u32 i32 u16 i16 u8 i8);

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&text[i..i + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

type Store<K> = PersistentKeyValueStore<K, Vec<u8>>;

fn open<K: Key>(folder: &str, interval: u64) -> Result<Store<K>, Failure> {
    let mut config = Config::default();
    config.silent = true;
    config.snapshot_interval = interval;
    Ok(Store::<K>::new(folder, config)?)
}

fn write<K: Key>(folder: &str, interval: u64) -> Result<(), Failure> {
    let store = open::<K>(folder, interval)?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let key = K::from_dump(&from_hex(words[1]));
        match words[0] {
            "set" => store.set(key, from_hex(words[2]))?,
            "unset" => store.unset(&key)?,
            other => return Err(format!("no such command: {other}").into()),
        }
    }
    Ok(())
}

fn dump<K: Key>(folder: &str) -> Result<(), Failure> {
    let store = open::<K>(folder, u64::MAX)?;
    for (key, value) in store.iter() {
        println!("{} {}", to_hex(&key.to_dump()), to_hex(&value));
    }
    Ok(())
}

fn run<K: Key>(arguments: &[String]) -> Result<(), Failure> {
    match arguments[1].as_str() {
        "write" => write::<K>(&arguments[3], arguments[4].parse()?),
        _ => dump::<K>(&arguments[3]),
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments[2].as_str() {
        "string" => run::<String>(&arguments),
        "u64" => run::<u64>(&arguments),
        "i64" => run::<i64>(&arguments),
        "u32" => run::<u32>(&arguments),
        "i32" => run::<i32>(&arguments),
        "u16" => run::<u16>(&arguments),
        "i16" => run::<i16>(&arguments),
        "u8" => run::<u8>(&arguments),
        "i8" => run::<i8>(&arguments),
        other => Err(format!("no such type of keys: {other}").into()),
    }
}
