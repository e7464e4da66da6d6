//! Both implementations keep the promises of the seam.

use std::sync::Arc;

use async_trait::async_trait;
use ebb_images::ImageStore;
use ebb_images::build::{ImageBuilder, Layer};
use ebb_images::conformance::{Subject, run};
use ebb_images::sim::SimImages;
use ebb_model::image::ImageConfig;
use ebb_model::{Digest, Reference};

use crate::registry::Server;
use crate::support;

struct Simulated(Arc<SimImages>);

#[async_trait]
impl Subject for Simulated {
    fn store(&self) -> Arc<dyn ImageStore> {
        self.0.clone()
    }

    async fn publish(&self, repository: &str, tag: &str, command: &str) -> (Reference, Digest) {
        let reference: Reference = format!("registry.example/{repository}:{tag}").parse().unwrap();
        let config = ImageConfig { entrypoint: vec![command.to_owned()], ..ImageConfig::default() };
        let digest = self.0.publish(&reference, config);
        (reference, digest)
    }
}

struct OnDisk(Server, Arc<dyn ImageStore>);

#[async_trait]
impl Subject for OnDisk {
    fn store(&self) -> Arc<dyn ImageStore> {
        Arc::clone(&self.1)
    }

    async fn publish(&self, repository: &str, tag: &str, command: &str) -> (Reference, Digest) {
        let layer = Layer::new().file(command, command, 0o755);
        let image = ImageBuilder::new().layer(layer).entrypoint([command]);
        let (reference, digest, _) = self.0.publish(repository, tag, &image);
        (reference, digest)
    }
}

#[tokio::test]
async fn the_simulation_conforms() {
    let scratch = tempfile::tempdir().unwrap();
    run(&Simulated(Arc::new(SimImages::new())), scratch.path()).await;
}

#[tokio::test]
async fn the_store_on_disk_conforms() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(&OnDisk(Server::start(), Arc::new(support::local(dir.path()))), scratch.path()).await;
}
