//! The images that tests deploy, built from nothing but this repository.

use anyhow::Result;
use ebb_images::build::{ImageBuilder, Layer};

/// Name that the `hello` image is loaded under.
pub const HELLO: &str = "localhost/hello:e2e";

/// The static `hello` program.
pub const HELLO_PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));

/// The `hello` image: one static program on port 8080.
pub fn hello() -> Result<ImageBuilder> {
    let layer = Layer::new().file("/hello", HELLO_PROGRAM, 0o755).dir("/tmp", 0o1777);
    Ok(ImageBuilder::new().layer(layer).entrypoint(["/hello"]).expose(8080))
}
