//! The metrics in Prometheus' older text format, for who does not read OpenMetrics.

/// The text format 0.0.4 of an OpenMetrics text: counters and infos are called as their samples, infos are gauges, and there
/// are no units, exemplars and end.
pub fn classic(openmetrics: &str) -> String {
    let of_type = |kind: &'static str| {
        let lines = openmetrics.lines();
        lines.filter_map(move |line| line.strip_prefix("# TYPE ")?.strip_suffix(kind)).collect::<Vec<_>>()
    };
    let (counters, infos) = (of_type(" counter"), of_type(" info"));
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let about =
            ["# HELP ", "# TYPE "].into_iter().find_map(|head| Some((head, line.strip_prefix(head)?)));
        match about.and_then(|(head, rest)| Some((head, rest.split_once(' ')?))) {
            Some((head, (name, rest))) if counters.contains(&name) => {
                text.extend([head, name, "_total ", rest]);
            }
            Some((head, (name, rest))) if infos.contains(&name) => {
                let rest = if head == "# TYPE " { "gauge" } else { rest };
                text.extend([head, name, "_info ", rest]);
            }
            Some(_) => text.push_str(line),
            None => text.push_str(without_exemplar(line)),
        }
        text.push('\n');
    }
    text
}

/// A label's value may hold anything but a bare quote.
fn without_exemplar(sample: &str) -> &str {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in sample.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'#' if !quoted => return sample[..at].trim_end(),
            _ => {}
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_older_format_does_not_have_is_left_out() {
        let openmetrics = "# HELP a_b things.\n# TYPE a_b counter\n# UNIT a_b seconds\n\
            a_b_total{x=\"1 # {y=\\\"z\"} 2 # {trace_id=\"abc\"} 1.0 3.0\n\
            # HELP c_d more.\n# TYPE c_d gauge\nc_d 1\n\
            # HELP e which.\n# TYPE e info\ne_info{version=\"1\"} 1\n# EOF\n";
        let expected = "# HELP a_b_total things.\n# TYPE a_b_total counter\n\
            a_b_total{x=\"1 # {y=\\\"z\"} 2\n\
            # HELP c_d more.\n# TYPE c_d gauge\nc_d 1\n\
            # HELP e_info which.\n# TYPE e_info gauge\ne_info{version=\"1\"} 1\n";
        assert_eq!(classic(openmetrics), expected);
    }
}
