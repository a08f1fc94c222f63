//! The readers of checkpoints and `.pth` files never panic on files that were altered, truncated or
//! partly duplicated. The fuzz targets (`tests/fuzz`) test the same readers.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;

use crate::support;
use crate::train_readers;

fn data(name: &str) -> Vec<u8> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    fs::read(data.join(name)).unwrap()
}

/// Sets the CRC-32s of a zip archive to 0, as torch can write them. With correct CRC-32s, the
/// reader would refuse every altered file.
fn without_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    for (signature, at) in [(b"PK\x03\x04", 14), (b"PK\x01\x02", 16)] {
        let places: Vec<usize> = (0..bytes.len())
            .filter(|i| bytes[*i..].starts_with(signature))
            .collect();
        for place in places {
            bytes[place + at..][..4].fill(0);
        }
    }
    bytes
}

static TUTORIAL: LazyLock<Vec<u8>> = LazyLock::new(|| data("tutorial.pth"));
static LAYERS: LazyLock<Vec<u8>> = LazyLock::new(|| without_checksums(data("layers.pth")));
/// Like [`LAYERS`], but with the state of an optimizer and the arguments of a script.
static PLIF: LazyLock<Vec<u8>> = LazyLock::new(|| without_checksums(data("plif.pth")));
static CHECKPOINT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("checkpoint");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tutorial.pth");
    support::run(&[
        "import",
        file.to_str().unwrap(),
        "-o",
        output.to_str().unwrap(),
    ]);
    fs::read(output).unwrap()
});

/// Alters a file: up to three bytes change, most of them among the first `head`. Sometimes a part
/// is duplicated or the end is missing.
fn altered(whole: &'static [u8], head: usize) -> impl Strategy<Value = Vec<u8>> {
    let length = whole.len();
    let at = prop_oneof![3 => 0..head.min(length), 1 => 0..length];
    let change = (at, any::<u8>());
    let part = (0..length, 0..length);
    (
        prop::collection::vec(change, 0..4),
        prop_oneof![4 => Just(length), 1 => 0..length],
        prop::option::weighted(0.1, part),
    )
        .prop_map(move |(changes, cut, twice)| {
            let mut bytes = whole.to_vec();
            for (at, value) in changes {
                bytes[at] = value;
            }
            if let Some((from, to)) = twice {
                let part = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from..from, part);
            }
            bytes.truncate(cut);
            bytes
        })
}

#[test]
fn readers_accept_unaltered_files() {
    for file in [&*TUTORIAL, &*LAYERS, &*PLIF] {
        assert!(train_readers::pth(file));
    }
    assert!(train_readers::pth(&data("plif.pth")));
    assert!(train_readers::checkpoint(&CHECKPOINT));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1500) })]

    #[test]
    fn pth_reader_never_panics_on_altered_legacy_files(bytes in altered(&TUTORIAL, 3000)) {
        train_readers::pth(&bytes);
    }

    #[test]
    fn pth_reader_never_panics_on_altered_zip_archives(bytes in altered(&LAYERS, 3500)) {
        train_readers::pth(&bytes);
    }

    #[test]
    fn pth_reader_never_panics_on_altered_training_checkpoints(bytes in altered(&PLIF, 12_000)) {
        train_readers::pth(&bytes);
    }

    #[test]
    fn checkpoint_reader_never_panics_on_altered_files(bytes in altered(&CHECKPOINT, 8000)) {
        train_readers::checkpoint(&bytes);
    }

    #[test]
    fn readers_never_panic_on_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for start in [&b""[..], b"PK\x03\x04", b"\x80\x02", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."] {
            let bytes = [start, &bytes].concat();
            train_readers::pth(&bytes);
            train_readers::checkpoint(&bytes);
        }
    }
}
