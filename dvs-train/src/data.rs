//! From the cache to batches on the device.
//!
//! [`dataset`] reads samples of a cache, [`data_loader`] decodes them on several threads,
//! [`prefetch`] copies the next batch while the device works, and [`device_loader`] hands
//! [`batch`]es to an epoch. [`augment`] alters training samples, [`batch_share`] divides batches
//! between ranks, [`validation`] holds samples out of the training set, and [`seed`] makes all of it
//! repeatable.

pub mod augment;
pub mod batch;
pub mod batch_share;
pub mod data_loader;
pub mod dataset;
pub mod device_loader;
pub mod prefetch;
pub mod seed;
pub mod validation;
