// Links the driver, which is C and the same for every store. bench/run says where it lies.
fn main() {
    let driver = std::env::var("BENCH_DRIVER").expect("built by bench/run");
    println!("cargo:rerun-if-env-changed=BENCH_DRIVER");
    println!("cargo:rerun-if-changed={driver}");
    println!("cargo:rustc-link-arg={driver}");
    println!("cargo:rustc-link-arg=-lm");
}
