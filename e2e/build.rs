//! Compiles the `hello` example as a static program, which the tests deploy.

#[path = "../examples/hello/build_static.rs"]
mod build_static;

fn main() {
    build_static::hello(std::path::Path::new(".."));
}
