//! The gestures of DVS128 Gesture, in the order of the dataset's `gesture_mapping.csv`.

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

/// Whether `names` are the eleven gestures, in their order.
pub fn is_gestures(names: &[String]) -> bool {
    names.iter().eq(LABEL_NAMES.iter())
}
