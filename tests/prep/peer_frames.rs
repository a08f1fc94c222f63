//! The frames of both fixtures equal those of SpikingJelly 2.0, for every sample and all three
//! splits. The cache has the same bytes for every container and every number of threads.

use std::fs::{self, File};
use std::path::Path;

use dvs_shared::{CacheFile, ChunkCodec, Frames, Set};
use ndarray::ArrayD;
use ndarray_npy::NpzReader;

use crate::support::{data, gzip, prepare, tar, unpack, zip};

/// Each split as options of the program, and its name in the fixtures.
const SPLITS: [(&[&str], &str); 3] = [
    (&["--frames", "16", "--split", "number"], "number16"),
    (&["--frames", "16", "--split", "time"], "time16"),
    (
        &["--split", "duration", "--duration", "100ms"],
        "duration100000",
    ),
];

fn assert_frames_match_spikingjelly(fixture: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut peer_frames =
        NpzReader::new(File::open(data(&format!("frames-{fixture}.npz"))).unwrap()).unwrap();
    let keys = peer_frames.names().unwrap();
    for (args, split) in SPLITS {
        let path = folder.path().join("cache.h5");
        prepare(
            &data(&format!("DvsGesture-{fixture}.tar.gz")),
            &path,
            &[args, &["--force"]].concat(),
        );
        let cache = CacheFile::open(&path).unwrap();
        let (mut codec, mut frames) = (ChunkCodec::default(), Frames::default());
        for set in Set::ALL {
            let rows = cache.set(set);
            // The fixture's keys have SpikingJelly's order of recordings and label rows.
            let expected: Vec<&String> = keys
                .iter()
                .filter(|k| {
                    k.starts_with(&format!("{}|", set.name())) && k.ends_with(&format!("|{split}"))
                })
                .collect();
            assert_eq!(rows.samples.len(), expected.len());
            for (row, (sample, key)) in rows.samples.iter().zip(expected).enumerate() {
                let ours = format!("{}|{}@{}|{split}", set.name(), sample.name, sample.label);
                assert_eq!(&ours, key);
                let peer: ArrayD<u16> = peer_frames.by_name(key).unwrap();
                cache.read(set, row, &mut codec, &mut frames).unwrap();
                assert_eq!(peer.shape(), [sample.frames, 2, 128, 128], "{key}");
                assert!(
                    frames
                        .counts(rows.counts)
                        .eq(peer.iter().map(|&c| u32::from(c))),
                    "{key}"
                );
                assert_eq!(
                    sample.events,
                    peer.iter().map(|&c| u64::from(c)).sum::<u64>(),
                    "{key}"
                );
            }
        }
    }
}

#[test]
fn frames_of_the_mini_archive_match_spikingjelly() {
    assert_frames_match_spikingjelly("mini");
}

#[test]
fn frames_of_the_edge_archive_match_spikingjelly() {
    assert_frames_match_spikingjelly("edge");
}

/// Writes the fixture in every container that the program reads.
fn containers(folder: &Path, fixture: &Path) -> Vec<std::path::PathBuf> {
    let mut files = unpack(fixture);
    // The order of the files must not matter.
    files.reverse();
    let zipped: Vec<_> = files
        .iter()
        .map(|(n, c)| (format!("DvsGesture/{n}"), c.clone()))
        .collect();
    let targz = gzip(&tar(&files));
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let extracted = folder.join("extracted");
    fs::create_dir(&extracted).unwrap();
    for (name, content) in &files {
        fs::write(extracted.join(name), content).unwrap();
    }
    vec![
        fixture.to_owned(),
        write("reversed.tar", &tar(&files)),
        write("reversed.tgz", &targz),
        write("files.zip", &zip(&zipped)),
        write(
            "nested.zip",
            &zip(&[(
                "Dvs Gesture dataset/DvsGesture.tar.gz".to_owned(),
                targz.clone(),
            )]),
        ),
        extracted,
    ]
}

#[test]
fn cache_bytes_do_not_depend_on_container_or_threads() {
    let folder = tempfile::tempdir().unwrap();
    for fixture in ["mini", "edge"] {
        let inputs = tempfile::tempdir().unwrap();
        for (args, split) in SPLITS {
            let mut first: Option<Vec<u8>> = None;
            for input in containers(
                &tempfile::tempdir_in(inputs.path()).unwrap().keep(),
                &data(&format!("DvsGesture-{fixture}.tar.gz")),
            ) {
                for jobs in ["1", "2", "7"] {
                    let path = folder.path().join("cache.h5");
                    prepare(
                        &input,
                        &path,
                        &[args, &["--jobs", jobs, "--force"]].concat(),
                    );
                    let bytes = fs::read(&path).unwrap();
                    let same = first.get_or_insert_with(|| bytes.clone()) == &bytes;
                    assert!(same, "{fixture}, {split}, {}, {jobs} jobs", input.display());
                }
            }
        }
    }
}
