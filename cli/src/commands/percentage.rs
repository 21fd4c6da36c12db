//! A share of a hundred on the command line.

/// `5%`, `0.5%` or `5`, as a share from 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let percent: f64 = text
        .strip_suffix('%')
        .unwrap_or(text)
        .parse()
        .map_err(|_| "write it as a percentage, such as 5%".to_owned())?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent / 100.0)
    } else {
        Err("a percentage is from 0% to 100%".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_a_share() {
        for (text, wanted) in [("0%", 0.0), ("5", 0.05), ("0.5%", 0.005), ("100%", 1.0)] {
            assert_eq!(share(text), Ok(wanted), "{text}");
        }
        for text in ["", "%", "-1%", "101%", "NaN", "inf", "five"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
