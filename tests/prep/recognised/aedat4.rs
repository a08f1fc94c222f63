//! The header of an AEDAT 4 recording describes its streams of events. The program reads one of
//! them.

use super::{Dataset, SIZE_346, expected, recognised};
use crate::cameras::{aedat4, events_on};

#[test]
fn stream_option_selects_one_of_several_streams() {
    let (left, right) = (events_on(300, SIZE_346), events_on(200, (240, 180)));
    let one = Dataset::new(&aedat4(&[(2, SIZE_346, &left)]));
    assert_eq!(one.samples(&[]), expected(&left, SIZE_346));
    let dataset = Dataset::new(&aedat4(&[(0, SIZE_346, &left), (4, (240, 180), &right)]));
    let said = dataset.fail(&[]);
    for part in [
        "0 (346 x 260 pixels, DAVIS346_00000000)",
        "4 (240 x 180 pixels, DAVIS240_00000004)",
        "--stream 0",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let first = ["--stream", "0"];
    assert_eq!(dataset.samples(&first), expected(&left, SIZE_346));
    let second = ["--stream", "4"];
    assert_eq!(dataset.samples(&second), expected(&right, (240, 180)));
    assert!(recognised(&dataset.summary(&second)).contains("stream 4, as --stream says"));
    let said = dataset.fail(&["--force", "--stream", "1"]);
    assert!(said.contains("holds no stream of events 1"), "{said}");
}

#[test]
fn refuses_more_than_1_percent_unknown_packets() {
    // The recording gets an event whose polarity is neither 0 nor 1, and packets of a stream that
    // the header does not name.
    let many = events_on(10_000, SIZE_346);
    let mut bytes = aedat4(&[(2, SIZE_346, &many)]);
    let at = bytes.len() - 4;
    bytes[at] = 7;
    bytes.extend([9, 0, 0, 0, 0, 0, 0, 0]);
    let summary = Dataset::new(&bytes).summary(&[]);
    assert_eq!(summary["events_left_out"]["unexplained"], 4, "{summary}");
    for _ in 0..5 {
        bytes.extend([9, 0, 0, 0, 0, 0, 0, 0]);
    }
    let said = Dataset::new(&bytes).fail(&[]);
    assert!(
        said.contains("6 of its 106 packets are of streams that its header does not name"),
        "{said}"
    );
}
