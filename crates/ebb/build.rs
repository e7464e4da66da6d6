//! Compiles the `hello` example as a static program, which `ebb demo` deploys.

#[path = "../../examples/hello/build_static.rs"]
mod build_static;

fn main() {
    build_static::hello(std::path::Path::new("../.."));
}
