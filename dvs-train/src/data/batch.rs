//! Batches in host memory and as tensors on the device.

use anyhow::{Result, ensure};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Int, Tensor, TensorData};
use burn_snn::backend::primitive::upload;
use dvs_shared::{CountType, Frames};

/// A batch in host memory, time first: `[T, B, 2, H, W]`.
///
/// Time is the first dimension because each layer takes all time steps at once. The samples are
/// copied in any case, so this layout costs nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct HostBatch {
    /// Event counts.
    pub frames: Counts,
    /// `[T, B, 2, H, W]`.
    pub shape: [usize; 5],
    /// Labels `[B]`.
    pub labels: Vec<u8>,
    stored: CountType,
}

/// Event counts of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    /// Counts that the cache stores as bytes: a quarter of the bytes to move to the device.
    U8(Vec<u8>),
    /// All other counts. Exact up to 2^24 events per cell.
    F32(Vec<f32>),
}

impl HostBatch {
    /// Returns a batch of zeros for `size` samples whose counts are stored as `stored`.
    pub fn new(stored: CountType, steps: usize, size: usize, height: usize, width: usize) -> Self {
        let shape = [steps, size, 2, height, width];
        let cells = shape.iter().product();
        Self {
            frames: match stored {
                CountType::U8 => Counts::U8(vec![0; cells]),
                _ => Counts::F32(vec![0.0; cells]),
            },
            shape,
            labels: vec![0; size],
            stored,
        }
    }

    /// Puts a sample's frames and label at `place`.
    ///
    /// # Errors
    /// Returns an error if the sample has a different number of frames.
    pub fn put(&mut self, place: usize, sample: &Frames, label: u8) -> Result<()> {
        let [steps, size, polarities, height, width] = self.shape;
        ensure!(
            sample.frames == steps,
            "it has {} frames where the batch has {steps}",
            sample.frames
        );
        let cells = polarities * height * width;
        let frames = 0..steps;
        match &mut self.frames {
            Counts::U8(batch) => {
                for (t, frame) in frames.zip(sample.raw.chunks_exact(cells)) {
                    let at = (t * size + place) * cells;
                    batch[at..at + cells].copy_from_slice(frame);
                }
            }
            Counts::F32(batch) => {
                let mut counts = sample.counts(self.stored);
                for t in frames {
                    let at = (t * size + place) * cells;
                    for (to, count) in batch[at..at + cells].iter_mut().zip(&mut counts) {
                        *to = count as f32;
                    }
                }
            }
        }
        self.labels[place] = label;
        Ok(())
    }
}

/// A batch on the device.
#[derive(Clone, Debug)]
pub struct Batch<B: Backend> {
    /// Event counts `[T, B, 2, H, W]`.
    pub frames: Tensor<B, 5>,
    /// Labels of the B samples, on the host.
    pub labels: Vec<u8>,
    /// Target firing rates `[B, classes]`: 1 in the label's column, else 0.
    pub target: Tensor<B, 2>,
}

impl<B: Backend> Batch<B> {
    /// Moves a batch to `device`.
    pub fn upload(batch: HostBatch, classes: usize, device: &B::Device) -> Self {
        let labels = batch.labels.clone();
        let frames = DeviceCounts::upload(batch, device).float();
        Self::new(frames, labels, classes, device)
    }

    /// Makes a batch of `frames` `[T, B, 2, H, W]` and `labels`.
    pub fn new(frames: Tensor<B, 5>, labels: Vec<u8>, classes: usize, device: &B::Device) -> Self {
        let size = labels.len();
        let mut target = vec![0.0_f32; size * classes];
        for (row, &label) in target.chunks_exact_mut(classes).zip(&labels) {
            if let Some(cell) = row.get_mut(usize::from(label)) {
                *cell = 1.0;
            }
        }
        Self {
            frames,
            labels,
            target: upload(&target, [size, classes], device),
        }
    }

    /// Moves the batch to the autodiff backend.
    pub fn tracked<A: AutodiffBackend<InnerBackend = B>>(self) -> Batch<A> {
        Batch {
            frames: Tensor::from_inner(self.frames),
            labels: self.labels,
            target: Tensor::from_inner(self.target),
        }
    }
}

/// Event counts on the device, in the same type as on the host.
#[derive(Clone, Debug)]
pub enum DeviceCounts<B: Backend> {
    /// See [`Counts::U8`].
    U8(Tensor<B, 5, Int>),
    /// See [`Counts::F32`].
    F32(Tensor<B, 5>),
}

impl<B: Backend> DeviceCounts<B> {
    /// Moves the counts `[T, B, 2, H, W]` of a batch to `device`.
    pub fn upload(batch: HostBatch, device: &B::Device) -> Self {
        match batch.frames {
            Counts::U8(counts) => {
                let data = TensorData::new(counts, batch.shape);
                Self::U8(Tensor::from_data(data, (device, DType::U8)))
            }
            Counts::F32(counts) => {
                let data = TensorData::new(counts, batch.shape);
                Self::F32(Tensor::from_data(data, device))
            }
        }
    }

    /// Converts the counts to floats.
    pub fn float(self) -> Tensor<B, 5> {
        match self {
            Self::U8(counts) => counts.float(),
            Self::F32(counts) => counts,
        }
    }

    /// Swaps the first two dimensions.
    pub fn swap_steps_and_samples(self) -> Self {
        match self {
            Self::U8(counts) => Self::U8(counts.swap_dims(0, 1)),
            Self::F32(counts) => Self::F32(counts.swap_dims(0, 1)),
        }
    }

    /// Selects the entries at `places` of the first dimension.
    pub fn select(&self, places: Tensor<B, 1, Int>) -> Self {
        match self {
            Self::U8(counts) => Self::U8(counts.clone().select(0, places)),
            Self::F32(counts) => Self::F32(counts.clone().select(0, places)),
        }
    }

    /// Concatenates `parts`, all of the same type, along the first dimension. Returns `None` if
    /// there are no parts.
    pub fn cat(parts: Vec<Self>) -> Option<Self> {
        let (mut bytes, mut others) = (Vec::new(), Vec::new());
        for part in parts {
            match part {
                Self::U8(counts) => bytes.push(counts),
                Self::F32(counts) => others.push(counts),
            }
        }
        match (bytes.is_empty(), others.is_empty()) {
            (false, _) => Some(Self::U8(Tensor::cat(bytes, 0))),
            (true, false) => Some(Self::F32(Tensor::cat(others, 0))),
            (true, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use burn::backend::Flex;

    /// Makes sample k. Its 2 x 2 x 1 x 2 cells have the counts `k * 100 + cell`.
    fn sample(k: u16, stored: CountType) -> Frames {
        let counts: Vec<u32> = (0..8).map(|cell| u32::from(k) * 100 + cell).collect();
        let mut frames = Frames::default();
        frames.frames = 2;
        stored.write(&counts, &mut frames.raw);
        frames
    }

    #[test]
    fn upload_puts_time_first_and_encodes_labels_one_hot() {
        for stored in [CountType::U8, CountType::U16, CountType::U32] {
            let mut host = HostBatch::new(stored, 2, 3, 1, 2);
            for (place, label) in [(2, 10), (0, 3), (1, 0)] {
                host.put(place, &sample(place as u16, stored), label)
                    .unwrap();
            }
            let batch = Batch::<Flex>::upload(host, 11, &Default::default());
            assert_eq!(batch.frames.dims(), [2, 3, 2, 1, 2]);
            let frames: Vec<f32> = batch.frames.into_data().to_vec().unwrap();
            #[rustfmt::skip]
            assert_eq!(frames, [
                0., 1., 2., 3., 100., 101., 102., 103., 200., 201., 202., 203.,
                4., 5., 6., 7., 104., 105., 106., 107., 204., 205., 206., 207.,
            ]);
            assert_eq!(batch.labels, [3, 0, 10]);
            let target: Vec<f32> = batch.target.into_data().to_vec().unwrap();
            let ones: Vec<usize> = (0..33).filter(|&i| target[i] == 1.0).collect();
            assert_eq!(ones, [3, 11, 32]);
            assert_eq!(target.iter().sum::<f32>(), 3.0);
        }
    }

    #[test]
    fn samples_selected_on_the_device_match_uploaded_samples() {
        for stored in [CountType::U8, CountType::U16] {
            let upload = |samples: &[u16]| {
                let mut host = HostBatch::new(stored, 2, samples.len(), 1, 2);
                for (place, &k) in samples.iter().enumerate() {
                    host.put(place, &sample(k, stored), 0).unwrap();
                }
                DeviceCounts::<Flex>::upload(host, &Default::default())
            };
            let parts = [&[0, 1][..], &[2]].map(|part| upload(part).swap_steps_and_samples());
            let all = DeviceCounts::cat(parts.to_vec()).unwrap();
            let places = Tensor::from_ints([2, 0], &Default::default());
            let gathered = all.select(places).swap_steps_and_samples().float();
            gathered
                .into_data()
                .assert_eq(&upload(&[2, 0]).float().into_data(), true);
        }
        assert!(DeviceCounts::<Flex>::cat(Vec::new()).is_none());
    }

    #[test]
    fn refuses_samples_with_another_number_of_frames() {
        let mut host = HostBatch::new(CountType::U8, 3, 1, 1, 2);
        let error = host.put(0, &sample(0, CountType::U8), 0).unwrap_err();
        assert_eq!(error.to_string(), "it has 2 frames where the batch has 3");
    }
}
