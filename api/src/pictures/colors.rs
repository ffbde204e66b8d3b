//! The colours of a chart, light and dark.
//!
//! The colours of lines began as those of Okabe and Ito. They were moved until each has a contrast
//! of 3 to the background and stays apart from the others for people with each kind of colour
//! blindness, as the tests compute. Texts have a contrast of 4.5.

use std::fmt::Write;

use super::options::Theme;

/// The most lines that a chart draws.
pub(super) const LINES: usize = 8;

/// The colours of a badge, in hexadecimal without `#`. Its texts are white.
pub(super) const GRAY: &str = "555555";
pub(super) const BLUE: &str = "0969a8";
pub(super) const GREEN: &str = "1a7f37";

/// The colours of a theme in hexadecimal.
struct Colors {
    background: &'static str,
    /// Headings and labels.
    ink: &'static str,
    /// Notes and the labels of axes.
    muted: &'static str,
    grid: &'static str,
    axis: &'static str,
    lines: [&'static str; LINES],
}

/// The backgrounds are GitHub's, since most charts are shown there.
const LIGHT: Colors = Colors {
    background: "#fff",
    ink: "#1f2328",
    muted: "#59636e",
    grid: "#e8ebef",
    axis: "#afb8c1",
    lines: ["#0072b2", "#d55e00", "#19a09b", "#ff4c8b", "#8d86dc", "#91815f", "#2f3534", "#795a04"],
};

const DARK: Colors = Colors {
    background: "#0d1117",
    ink: "#f0f6fc",
    muted: "#9198a1",
    grid: "#21262d",
    axis: "#484f58",
    lines: ["#539bf5", "#f0803c", "#0ae3a5", "#b781a5", "#c1bdff", "#ffba23", "#bcf3ff", "#fffa3e"],
};

const SHAPES: &str = "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,\
    sans-serif;font-size:11px}.h{font-size:14px;font-weight:600}.e{text-anchor:end}\
    .m{text-anchor:middle}path{fill:none;stroke:currentColor;stroke-width:2;\
    stroke-linejoin:round;stroke-linecap:round}.b{stroke-width:1.3;stroke-dasharray:3.5 3.5;\
    stroke-linecap:butt}.u{stroke-width:1.2;stroke-dasharray:.1 4}.a,.t{stroke-width:1}\
    .f .s{stroke-width:1.4}.f .b{stroke-width:1}\
    .w path{stroke-width:inherit;stroke-linecap:butt}circle{fill:currentColor}";

/// The style sheet of a chart with so many lines.
pub(super) fn style(theme: Theme, lines: usize) -> String {
    let (light, dark) = (rules(&LIGHT, lines), rules(&DARK, lines));
    match theme {
        Theme::Auto => format!("{SHAPES}{light}@media(prefers-color-scheme:dark){{{dark}}}"),
        Theme::Light => format!("{SHAPES}{light}"),
        Theme::Dark => format!("{SHAPES}{dark}"),
    }
}

/// The rules of a page's style sheet for its charts.
#[must_use]
pub fn page_style() -> String {
    let both = |light: &str, dark: &str| format!("light-dark({light},{dark})");
    let mut style = format!(
        ".chart{{{SHAPES}text{{fill:{}}}.h,.v{{fill:{}}}.g{{stroke:{}}}.z{{stroke:{}}}",
        both(LIGHT.muted, DARK.muted),
        both(LIGHT.ink, DARK.ink),
        both(LIGHT.grid, DARK.grid),
        both(LIGHT.axis, DARK.axis),
    );
    for (index, (light, dark)) in LIGHT.lines.iter().zip(DARK.lines).enumerate() {
        // A string takes every write.
        let _ = write!(style, ".c{index}{{color:{}}}", both(light, dark));
    }
    style.push_str("}\n");
    style
}

fn rules(colors: &Colors, lines: usize) -> String {
    let Colors { background, ink, muted, grid, axis, .. } = colors;
    let mut rules = format!(
        ".p{{fill:{background}}}text{{fill:{muted}}}.h,.v{{fill:{ink}}}\
         .g{{stroke:{grid}}}.z{{stroke:{axis}}}"
    );
    for (index, color) in colors.lines.iter().take(lines).enumerate() {
        // A string takes every write.
        let _ = write!(rules, ".c{index}{{color:{color}}}");
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rgb = [f64; 3];

    /// The least distance of two colours of lines in Oklab, where 0.02 is just noticed.
    const APART: f64 = 0.07;

    /// Machado, Oliveira and Fernandes 2009: colours as people see them who lack one kind of cone.
    const VISIONS: [(&str, [Rgb; 3]); 4] = [
        ("trichromacy", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
        ),
        (
            "deuteranopia",
            [
                [0.367_322, 0.860_646, -0.227_968],
                [0.280_085, 0.672_501, 0.047_413],
                [-0.011_820, 0.042_940, 0.968_881],
            ],
        ),
        (
            "tritanopia",
            [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        ),
    ];

    /// Linear light of a colour in hexadecimal.
    fn linear(color: &str) -> Rgb {
        let digits = color.trim_start_matches('#');
        let long: String = if digits.len() == 3 {
            digits.chars().flat_map(|digit| [digit, digit]).collect()
        } else {
            digits.to_owned()
        };
        [0, 2, 4].map(|at| {
            let byte = u8::from_str_radix(&long[at..at + 2], 16).expect("hexadecimal");
            let share = f64::from(byte) / 255.0;
            if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn apply(matrix: &[Rgb; 3], color: Rgb) -> Rgb {
        matrix.map(|row| row.iter().zip(color).map(|(factor, part)| factor * part).sum())
    }

    /// WCAG 2's contrast ratio.
    fn contrast(one: &str, other: &str) -> f64 {
        let luminance = |color| apply(&[[0.2126, 0.7152, 0.0722]; 3], linear(color))[0];
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    fn oklab(color: Rgb) -> Rgb {
        let cones = apply(
            &[
                [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
                [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
                [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
            ],
            color.map(|part| part.max(0.0)),
        );
        apply(
            &[
                [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
                [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
                [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
            ],
            cones.map(f64::cbrt),
        )
    }

    #[test]
    fn lines_have_a_contrast_of_3_and_texts_of_4_5_in_both_themes() {
        for colors in [LIGHT, DARK] {
            for line in colors.lines {
                assert!(contrast(line, colors.background) >= 3.0, "{line}");
            }
            for text in [colors.ink, colors.muted] {
                assert!(contrast(text, colors.background) >= 4.5, "{text}");
            }
        }
        for color in [GRAY, BLUE, GREEN] {
            assert!(contrast("#fff", color) >= 4.5, "{color}");
        }
        assert!((contrast("#fff", "#000") - 21.0).abs() < 1e-9);
    }

    #[test]
    fn lines_stay_apart_for_people_with_each_kind_of_colour_vision() {
        for colors in [LIGHT, DARK] {
            for (index, one) in colors.lines.iter().enumerate() {
                for other in &colors.lines[..index] {
                    for (vision, matrix) in &VISIONS {
                        let [one_seen, other_seen] =
                            [one, other].map(|color| oklab(apply(matrix, linear(color))));
                        let squares = one_seen.iter().zip(other_seen).map(|(a, b)| (a - b).powi(2));
                        let distance = squares.sum::<f64>().sqrt();
                        assert!(distance >= APART, "{one} and {other}, {vision}: {distance}");
                    }
                }
            }
        }
    }
}
