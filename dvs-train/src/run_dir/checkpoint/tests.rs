#![allow(clippy::unwrap_used)]

use std::fs;

use dvs_shared::labels::gestures;

use super::*;
use crate::config::train_config::TrainConfig;
use crate::metrics::Sums;

fn checkpoint() -> Checkpoint {
    let mut tensors = Tensors::default();
    let values = vec![1.0, -0.0, f32::MIN_POSITIVE, 3.25, 1e-30, 7.0];
    let shape = vec![2, 3];
    tensors
        .0
        .insert("network.a".to_owned(), Array { shape, values });
    Checkpoint {
        state: State {
            settings: Settings {
                created_by: "test".to_owned(),
                config: TrainConfig {
                    seed: 5,
                    ..TrainConfig::default()
                },
                size: [128, 128],
                label_names: gestures(),
                source_sha256: String::new(),
                reading: Vec::new(),
                keep_invalid: false,
            },
            epoch: 3,
            ranks: 4,
            steps: 40,
            progress: Some(EpochProgress {
                batches: 3,
                sums: Sums {
                    loss: f64::from(0.1_f32),
                    correct: 7.0,
                    samples: 12,
                },
            }),
            best: Some(Best {
                epoch: 2,
                accuracy: 0.1 + 0.2,
            }),
            loss_scale: Some(LossScale::default()),
        },
        tensors,
    }
}

#[test]
fn checkpoint_round_trips_through_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = (folder.path().join("c"), checkpoint());
    checkpoint.write(&path).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap(), checkpoint);
    assert_eq!(fs::read(&path).unwrap(), checkpoint.encode().unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn altered_checkpoint_never_decodes_to_other_content() {
    let whole = checkpoint().encode().unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        // A change that keeps the meaning, such as another notation of a number, is allowed.
        if let Ok(read) = Checkpoint::decode(&bytes) {
            assert_eq!(read, checkpoint(), "byte {at}");
        }
        assert!(Checkpoint::decode(&whole[..at]).is_err(), "cut off at {at}");
    }
}

#[test]
fn errors_recognise_files_of_other_programs() {
    let error = |bytes: &[u8]| format!("{:#}", Checkpoint::decode(bytes).unwrap_err());
    assert!(error(b"PK\x03\x04 a file of PyTorch").contains("not a whole safetensors file"));
    let raw = 1.0_f32.to_le_bytes();
    let view = TensorView::new(Dtype::F32, vec![1], &raw).unwrap();
    let foreign = safetensors::serialize([("w", view)], None).unwrap();
    assert!(error(&foreign).contains("of another program"));
    let text = String::from_utf8_lossy(&checkpoint().encode().unwrap()).into_owned();
    assert!(text.contains("format_version"));
}
