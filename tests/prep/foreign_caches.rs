//! Another program may have made or altered a cache file. dvs-prep checks what such a file
//! describes and refuses it before it allocates memory for it.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;

use hdf5::types::VarLenUnicode;
use hdf5::{File, Group};

use crate::support::*;

/// The memory limit in MiB for a refused cache. A small whole cache takes about 15 MiB.
const BOUND: u64 = 100;

/// Makes a whole cache and changes it with `alter`. Expects that every command that opens it fails
/// with a message that contains `said`.
fn refused(said: &str, alter: impl FnOnce(&File)) {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let cache = folder.path().join("cache.h5");
    prepare(&input, &cache, &["-T", "2"]);
    run(&["verify", text(&cache)]);
    let file = File::open_rw(&cache).unwrap();
    alter(&file);
    file.close().unwrap();
    for command in ["info", "verify"] {
        let run = measured(&[command, text(&cache)]);
        let message = stderr(&run.output);
        println!("{:.2} s, {} MiB: {message}", run.seconds, run.peak);
        assert_eq!(run.output.status.code(), Some(1), "{message}");
        assert!(message.contains(said), "{said:?} is not in {message:?}");
        assert_eq!(message.lines().count(), 1, "{message}");
        assert!(
            run.peak <= BOUND && run.seconds < 1.0,
            "{} MiB, {} s",
            run.peak,
            run.seconds
        );
    }
    // `prepare` does not accept it as the requested cache either.
    let message = fail(&["-i", text(&input), "-o", text(&cache), "-T", "2"]);
    assert!(message.contains("--force"), "{message}");
}

/// The group `set` of `file`, after its member `name` was removed.
fn group_without(file: &File, set: &str, name: &str) -> Group {
    let group = file.group(set).unwrap();
    group.unlink(name).unwrap();
    group
}

#[test]
fn refuses_columns_of_huge_or_wrong_shape() {
    refused("its shape is [2, 1], not [N]", |file| {
        group_without(file, "train", "labels")
            .new_dataset::<u8>()
            .shape([2, 1])
            .create("labels")
            .unwrap();
    });
    refused("its shape is [1099511627776], not [N]", |file| {
        group_without(file, "train", "labels")
            .new_dataset::<u8>()
            .shape([1usize << 40])
            .create("labels")
            .unwrap();
    });
    refused("rows take 67108864 bytes, and the file has", |file| {
        group_without(file, "train", "labels")
            .new_dataset::<u8>()
            .shape([1usize << 26])
            .create("labels")
            .unwrap();
    });
    refused("it is stored as Chunked", |file| {
        let labels = group_without(file, "train", "labels")
            .new_dataset::<u8>()
            .chunk([2])
            .deflate(9);
        labels
            .shape([2])
            .create("labels")
            .unwrap()
            .write_raw(&[0u8, 0])
            .unwrap();
    });
    refused("/train/events: its shape is [3], not [2]", |file| {
        group_without(file, "train", "events")
            .new_dataset::<u64>()
            .shape([3])
            .create("events")
            .unwrap();
    });
    refused("not UTF-8 text of at most 128 bytes", |file| {
        let names = group_without(file, "train", "names").new_dataset::<VarLenUnicode>();
        names.shape([2]).create("names").unwrap();
    });
    refused("/train/checksums", |file| {
        let wrong = group_without(file, "train", "checksums").new_dataset::<VarLenUnicode>();
        wrong.shape([2]).create("checksums").unwrap();
    });
}

#[test]
fn refuses_data_stored_in_another_file() {
    refused("not in one piece in this file", |file| {
        let group = group_without(file, "train", "labels");
        let labels = group.new_dataset::<u8>().external("/etc/passwd", 0, 2);
        labels.shape([2]).create("labels").unwrap();
    });
}

#[test]
fn refuses_frames_of_wrong_shape_type_or_filter() {
    type Builder = fn(hdf5::DatasetBuilder) -> hdf5::Result<hdf5::Dataset>;
    const SHAPE: [usize; 5] = [2, 2, 2, 128, 128];
    const CHUNK: [usize; 5] = [1, 2, 2, 128, 128];
    let cases: [(&str, Builder); 7] = [
        ("its shape is [2, 2, 2, 128, 64]", |b| {
            b.empty::<u8>().shape([2, 2, 2, 128, 64]).create("frames")
        }),
        ("its shape is [1099511627776", |b| {
            b.empty::<u8>()
                .chunk(CHUNK)
                .shape([1usize << 40, 2, 2, 128, 128])
                .create("frames")
        }),
        ("its type is Ok(Float", |b| {
            b.empty::<f32>().shape(SHAPE).create("frames")
        }),
        ("its chunks are None", |b| {
            b.empty::<u8>().shape(SHAPE).create("frames")
        }),
        ("its chunks are Some([2, 2, 2, 128, 128])", |b| {
            b.empty::<u8>().chunk(SHAPE).shape(SHAPE).create("frames")
        }),
        ("its filters are [Fletcher32]", |b| {
            b.empty::<u8>()
                .fletcher32()
                .chunk(CHUNK)
                .shape(SHAPE)
                .create("frames")
        }),
        ("chunks are missing", |b| {
            b.empty::<u8>()
                .deflate(1)
                .chunk(CHUNK)
                .shape(SHAPE)
                .create("frames")
        }),
    ];
    for (said, create) in cases {
        refused(said, |file| {
            create(group_without(file, "train", "frames").new_dataset_builder()).unwrap();
        });
    }
}

#[test]
fn refuses_links_and_too_many_members() {
    refused("its member \"train\" is a link", |file| {
        file.unlink("train").unwrap();
        file.link_soft("/train", "train").unwrap();
    });
    refused("/train/labels", |file| {
        file.unlink("train").unwrap();
        file.link_hard("/", "train").unwrap();
    });
    refused("its member \"labels\" is a link", |file| {
        group_without(file, "train", "labels")
            .link_soft("/test/labels", "labels")
            .unwrap();
    });
    refused("has 5005 members, beyond the limit of 64", |file| {
        (0..5002).for_each(|i| file.link_soft("/", &i.to_string()).unwrap());
    });
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    refused("its member \"test\" is a link", |file| {
        file.unlink("test").unwrap();
        file.link_external(text(&pipe), "/test", "test").unwrap();
    });
}

#[test]
fn refuses_invalid_attributes() {
    let number = |name: &'static str, value: u32| {
        move |file: &File| {
            file.delete_attr(name).unwrap();
            file.new_attr::<u32>()
                .create(name)
                .unwrap()
                .write_scalar(&value)
                .unwrap();
        }
    };
    refused("do not go together", number("frames", u32::MAX));
    refused("128", number("height", u32::MAX));
    refused("format version 7", number("format_version", 7));
    refused("it has 1000 values, not one", |file| {
        file.delete_attr("frames").unwrap();
        file.new_attr::<u32>()
            .shape([1000])
            .create("frames")
            .unwrap();
    });
    refused("attribute `frames`", |file| {
        file.delete_attr("frames").unwrap();
        file.new_attr::<VarLenUnicode>().create("frames").unwrap();
    });
    refused("attribute `skipped`", |file| {
        file.new_attr::<u32>().shape([3]).create("skipped").unwrap();
    });
    refused("the root attributes", |file| {
        let name: hdf5::types::FixedUnicode<128> = "user09_led".parse().unwrap();
        file.new_attr::<hdf5::types::FixedUnicode<128>>()
            .shape([1])
            .create("skipped")
            .unwrap()
            .write_raw(&[name])
            .unwrap();
    });
}

/// Makes a whole cache and changes its bytes with `alter`. Expects that `info` fails with a message
/// that contains `said`.
fn refused_with_altered_bytes(said: &str, alter: impl FnOnce(&mut Vec<u8>)) {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let cache = folder.path().join("cache.h5");
    prepare(&input, &cache, &["-T", "1"]);
    let mut bytes = fs::read(&cache).unwrap();
    alter(&mut bytes);
    fs::write(&cache, bytes).unwrap();
    let run = measured(&["info", text(&cache)]);
    let message = stderr(&run.output);
    assert_eq!(run.output.status.code(), Some(1), "{message}");
    assert!(message.contains(said), "{said:?} is not in {message:?}");
    assert!(
        run.peak <= BOUND && run.seconds < 1.0,
        "{} MiB, {} s",
        run.peak,
        run.seconds
    );
}

/// The first position of `what` in `bytes` at or after byte `from`.
fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    let found = bytes[from..].windows(what.len()).position(|w| w == what);
    from + found.unwrap()
}

#[test]
fn refuses_a_string_that_claims_gigabytes() {
    refused_with_altered_bytes("claims a text of 4194304015 bytes", |bytes| {
        // The length of the text follows the attribute's name, type and shape.
        let length = find(bytes, find(bytes, 0, b"format\0"), &15u32.to_le_bytes());
        bytes[length..length + 4].copy_from_slice(&0xfa00_000fu32.to_le_bytes());
    });
}

/// If the type of a variable-length string claims fewer bytes than its reference takes, HDF5 reads
/// beyond the memory that it allocated. Fuzzing found this.
#[test]
fn refuses_a_string_type_that_is_too_small() {
    refused_with_altered_bytes("the object header of its root group is broken", |bytes| {
        let kind = find(bytes, 0, b"format\0") + 7;
        assert_eq!((bytes[kind] & 15, bytes[kind + 4]), (9, 16));
        bytes[kind + 4] = 9;
    });
}

#[test]
fn superblock_version_2_error_suggests_h5repack() {
    refused_with_altered_bytes("`h5repack --low=0 OLD NEW` makes it so", |bytes| {
        bytes[8] = 2;
    });
}

/// If a file does not begin with a superblock, HDF5 searches for one further on, beyond the bytes
/// that the program checks.
#[test]
fn refuses_a_superblock_that_is_not_at_the_start() {
    refused_with_altered_bytes("it does not begin with HDF5's signature", |bytes| {
        bytes.splice(0..0, [0; 512]);
    });
}

/// HDF5 loops forever in a heap of strings whose free block has size 0. Fuzzing found this.
#[test]
fn refuses_a_heap_with_an_empty_free_block() {
    refused_with_altered_bytes("which holds the text of an attribute, is broken", |bytes| {
        let heap = find(bytes, 0, b"GCOL");
        let size = |at: usize, bytes: &[u8]| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
        };
        let mut at = heap + 16;
        // Strings are numbered from 1. The free block has number 0.
        while bytes[at..at + 2] != [0, 0] {
            at += 16 + size(at + 8, bytes).next_multiple_of(8);
        }
        assert!(at + size(at + 8, bytes) <= heap + size(heap + 8, bytes));
        bytes[at + 8..at + 16].fill(0);
    });
}

#[test]
fn flipped_bits_in_a_cache_are_detected_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let (cache, altered) = (
        folder.path().join("cache.h5"),
        folder.path().join("altered.h5"),
    );
    prepare(&input, &cache, &["-T", "1"]);
    let whole = fs::read(&cache).unwrap();
    let expected = info_json(&cache);
    let mut refused = 0;
    for i in 0..300 {
        let at = (i * 7919 + 13) * 104_729 % whole.len();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (i % 8);
        fs::write(&altered, &bytes).unwrap();
        let output = dvs_prep(["verify", text(&altered)]).output().unwrap();
        match output.status.code() {
            Some(0) => assert_eq!(info_json(&altered), expected, "byte {at}"),
            Some(1) => refused += 1,
            code => panic!("{code:?} at byte {at}: {}", stderr(&output)),
        }
    }
    assert!(refused > 30, "only {refused} flips were refused");
}

/// The output of `info --json` for a cache, without the path.
fn info_json(cache: &Path) -> serde_json::Value {
    let output = run(&["info", text(cache), "--json"]);
    let mut json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    json["cache"].take();
    json
}
