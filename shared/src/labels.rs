//! The gestures of DVS128 Gesture, in the order of the dataset's `gesture_mapping.csv`.

use crate::words::some_of;

/// Number of gestures.
pub const CLASSES: usize = 11;

/// Names by label (0 to 10). The label files count classes from 1: label = class - 1.
pub const LABEL_NAMES: [&str; CLASSES] = [
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    "other_gestures",
];

/// The eleven gestures, in the type of a cache's class names.
pub fn gestures() -> Vec<String> {
    LABEL_NAMES.map(str::to_owned).to_vec()
}

/// The first class names, for a message, and the number of further ones.
pub fn listed(names: &[String]) -> String {
    some_of(names, 6)
}

/// Whether `names` are the eleven gestures, in their order.
pub fn is_gestures(names: &[String]) -> bool {
    names.iter().eq(LABEL_NAMES.iter())
}

/// The label of the mirrored gesture, by label: right and left are exchanged, and so is the sense
/// of rotation of the arm as the camera sees it.
pub const MIRRORED: [u8; CLASSES] = [0, 2, 1, 6, 5, 4, 3, 7, 8, 9, 10];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirroring_swaps_sides_and_rotation_directions() {
        for (label, name) in LABEL_NAMES.iter().enumerate() {
            let words = name.replace("right", "RIGHT").replace("left", "right");
            let words = words.replace("RIGHT", "left");
            let mirrored = match words.strip_suffix("_counter_clockwise") {
                Some(arm) => format!("{arm}_clockwise"),
                None => words.replace("_clockwise", "_counter_clockwise"),
            };
            assert_eq!(LABEL_NAMES[usize::from(MIRRORED[label])], mirrored);
        }
    }
}
