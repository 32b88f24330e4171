//! Medians, ratios, and how they are printed.

/// The middle one.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A line of a comparison: two figures, their ratio, and the bound it should keep.
pub(crate) fn compare(what: &str, unit: &str, [first, second]: [(&str, f64); 2], bound: &str) {
    println!(
        "  {what:<18} {:>10.1} {unit} {:<12} {:>10.1} {unit} {:<12} ratio {:.2} ({bound})",
        first.1,
        first.0,
        second.1,
        second.0,
        first.1 / second.1
    );
}

/// A line of one figure.
pub(crate) fn show(what: &str, value: impl std::fmt::Display, bound: &str) {
    println!("  {what:<34} {value} ({bound})");
}
