//! Swaps under load: a short version of `cargo xtask soak swap`.

use stagewire_tests::campaigns::{Length, swap};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn swaps_lose_and_fail_nothing_and_mix_no_versions() {
    println!("{}", swap::run(Length::Short).await);
}
