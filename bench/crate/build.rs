// Links the workload, which is C and the same for every store. bench/run says where it lies.
fn main() {
    let workload = std::env::var("BENCH_WORKLOAD").expect("built by bench/run");
    println!("cargo:rerun-if-env-changed=BENCH_WORKLOAD");
    println!("cargo:rerun-if-changed={workload}");
    println!("cargo:rustc-link-arg={workload}");
}
