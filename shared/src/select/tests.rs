#![allow(clippy::unwrap_used)]

use super::*;
use crate::labels::LABEL_NAMES;

fn samples() -> Vec<ListedSample> {
    let samples_of = |set, recording: &str, labels: &[u8], from: usize| {
        let sample = |(at, &label): (usize, &u8)| ListedSample {
            name: format!(
                "{recording}_{}",
                labels[..at].iter().filter(|&&l| l == label).count()
            ),
            label: Some(label),
            set: Some(set),
            index: Some(from + at),
        };
        labels.iter().enumerate().map(sample).collect::<Vec<_>>()
    };
    let mut all = samples_of(Set::Train, "user01_led", &[0, 7, 7], 0);
    all.extend(samples_of(Set::Train, "user02_led", &[1, 7], 3));
    all.extend(samples_of(Set::Test, "user24_lab", &[3], 0));
    all
}

fn choose(
    set: Option<Set>,
    sample: &str,
    label: Option<&str>,
    each_class: bool,
) -> Result<Vec<usize>, SelectError> {
    let wanted = SampleRequest {
        set,
        sample: match sample {
            "" => SampleChoice::Only,
            sample => SampleChoice::parse(sample),
        },
        label: label.map(str::to_owned),
        each_class,
    };
    wanted.choose(&samples(), &LABEL_NAMES.map(str::to_owned))
}

#[test]
fn samples_are_found_by_number_name_and_label() {
    let train = Some(Set::Train);
    let test = Some(Set::Test);
    assert_eq!(choose(None, "0", None, false).unwrap(), [0]);
    assert_eq!(choose(train, "4", None, false).unwrap(), [4]);
    assert_eq!(choose(test, "0", None, false).unwrap(), [5]);
    assert_eq!(choose(None, "1", Some("7"), false).unwrap(), [2]);
    assert_eq!(choose(None, "2", Some("Arm_Roll"), false).unwrap(), [4]);
    assert_eq!(choose(None, "user24_lab_0", None, false).unwrap(), [5]);
    assert_eq!(choose(None, "user01_led_1", None, false).unwrap(), [2]);
    assert_eq!(choose(None, "user01_led_0@7", None, false).unwrap(), [1]);
    assert_eq!(choose(None, "user01_led_0", Some("7"), false).unwrap(), [1]);
    assert_eq!(choose(None, "0", None, true).unwrap(), [0, 3, 1]);
    assert_eq!(choose(None, "1", None, true).unwrap(), [2]);
    assert_eq!(choose(test, "0", None, true).unwrap(), [5]);
    assert_eq!(choose(test, "", None, false).unwrap(), [5]);
}

#[test]
fn errors_suggest_available_samples_and_labels() {
    let error =
        |set, sample: &str, label| choose(set, sample, label, false).unwrap_err().to_string();
    for (error, parts) in [
        (
            error(None, "5", None),
            &["number 5", "5, numbers 0 to 4", "test set", "one, number 0"][..],
        ),
        (
            error(None, "", Some("7")),
            &[
                "it holds several samples; name one",
                "--sample: user01_led_0@7 (arm_roll), user01_led_1@7",
            ],
        ),
        (
            error(None, "3", Some("7")),
            &["3, numbers 0 to 2 of arm_roll", "none"],
        ),
        (
            error(None, "user01_led_0", None),
            &[
                "2 samples",
                "user01_led_0@0 (hand_clapping), user01_led_0@7 (arm_roll)",
            ],
        ),
        (
            error(None, "user01_led", None),
            &["is a recording", "user01_led_1@7"],
        ),
        (
            error(None, "user1_led_1", None),
            &["is it one of these? user01_led_1@7"],
        ),
        (
            error(None, "usr24_lab_0@3", None),
            &["user24_lab_0@3 (right_arm_clockwise)"],
        ),
        (
            error(None, "walking", None),
            &["no sample is named walking", "user01_led_0@0"],
        ),
        (
            error(Some(Set::Train), "user24_lab_0", None),
            &["is of the set test"],
        ),
        (
            error(None, "0", Some("arm_rol")),
            &["is it one of these? arm_roll"],
        ),
        (error(None, "0", Some("guitar")), &["air_guitar"]),
        (
            error(None, "0", Some("jumping")),
            &["0 to 10", "hand_clapping"],
        ),
        (error(None, "0", Some("11")), &["0 to 10"]),
    ] {
        for part in parts {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
    }
}
