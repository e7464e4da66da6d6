//! Tar archives with any byte that one wants to have in them.

/// An archive that is being written.
#[derive(Clone, Default)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

/// A header before its checksum.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) name: Vec<u8>,
    pub(crate) flag: u8,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: Vec<u8>,
    /// The size field; where it is not given it says the truth.
    pub(crate) size: Option<Vec<u8>>,
}

impl Head {
    pub(crate) fn new(name: &[u8], flag: u8) -> Self {
        let (name, link) = (name.to_vec(), Vec::new());
        Self { name, flag, link, mode: 0o644, uid: b"0000000".to_vec(), size: None }
    }
}

impl Raw {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn head(mut self, head: &Head, data: &[u8]) -> Self {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &head.name[..head.name.len().min(100)]);
        put(100, format!("{:07o}", head.mode).as_bytes());
        put(108, &head.uid);
        put(116, b"0000000");
        put(124, &head.size.clone().unwrap_or_else(|| format!("{:011o}", data.len()).into()));
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[head.flag]);
        put(157, &head.link[..head.link.len().min(100)]);
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().copied().map(u32::from).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: impl AsRef<[u8]>, data: &[u8]) -> Self {
        self.head(&Head::new(name.as_ref(), b'0'), data)
    }

    pub(crate) fn dir(self, name: impl AsRef<[u8]>) -> Self {
        self.head(&Head { mode: 0o755, ..Head::new(name.as_ref(), b'5') }, b"")
    }

    pub(crate) fn symlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.head(&Head { link: target.as_ref().into(), ..Head::new(name.as_ref(), b'2') }, b"")
    }

    pub(crate) fn hardlink(self, name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        self.head(&Head { link: target.as_ref().into(), ..Head::new(name.as_ref(), b'1') }, b"")
    }

    pub(crate) fn flag(self, name: &str, flag: u8) -> Self {
        self.head(&Head::new(name.as_bytes(), flag), b"")
    }

    /// A PAX header of `kind` (`x` or `g`) with one record.
    pub(crate) fn pax(self, kind: u8, key: &str, value: &[u8]) -> Self {
        self.head(&Head::new(b"pax", kind), &record(key, value))
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length += 1;
    }
    [length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
}
