//! Header lists as HTTP/2 compresses them (RFC 7541). What is sent is never compressed; what comes may be in any way.

use std::collections::VecDeque;

/// A header.
pub type Header = (String, String);

/// Longest list, in bytes as RFC 7541, 4.1 counts them.
const LONGEST: usize = 1 << 20;

/// The static table (RFC 7541, appendix A).
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Lengths in bits of the codes of all bytes (RFC 7541, appendix B). The code is canonical: of one length they count up in
/// the order of their bytes, so that the lengths are the whole of it.
const CODE_LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14,
    6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
    28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
    22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22,
    22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21,
    26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26,
];

/// Why a header list cannot be read.
const BROKEN: &str = "the server's header list is broken";

/// Appends a header that no table is to remember. Its name is that of the static table's row `index`, or else `name`.
pub fn put(list: &mut Vec<u8>, index: u8, name: &str, value: &str) {
    put_number(list, 0, 4, usize::from(index));
    if index == 0 {
        put_text(list, name);
    }
    put_text(list, value);
}

/// Appends a header that is a row of the static table.
pub fn put_row(list: &mut Vec<u8>, index: u8) {
    list.push(0x80 | index);
}

fn put_text(list: &mut Vec<u8>, text: &str) {
    put_number(list, 0, 7, text.len());
    list.extend_from_slice(text.as_bytes());
}

fn put_number(list: &mut Vec<u8>, first: u8, bits: u8, number: usize) {
    let most = (1_usize << bits) - 1;
    if number < most {
        return list.push(first | number.to_le_bytes()[0]);
    }
    list.push(first | most.to_le_bytes()[0]);
    let mut rest = number - most;
    while rest >= 128 {
        list.push(0x80 | (rest.to_le_bytes()[0] & 0x7f));
        rest >>= 7;
    }
    list.push(rest.to_le_bytes()[0]);
}

/// Reads the header lists of one connection.
pub struct Decoder {
    rows: VecDeque<Header>,
    size: usize,
    most: usize,
}

/// The largest dynamic table that a server may use, as long as it is not told another.
const TABLE: usize = 4096;

impl Decoder {
    pub fn new() -> Self {
        Self { rows: VecDeque::new(), size: 0, most: TABLE }
    }

    /// Reads a whole list.
    pub fn read(&mut self, list: &[u8]) -> Result<Vec<Header>, &'static str> {
        let mut bytes = Bytes(list);
        let mut headers = Vec::new();
        let mut length = 0;
        while let Some(&first) = bytes.0.first() {
            let header = if first & 0x80 != 0 {
                let index = bytes.number(7)?;
                self.row(index)?
            } else if first & 0x40 != 0 {
                let header = self.literal(&mut bytes, 6)?;
                self.remember(&header);
                header
            } else if first & 0x20 != 0 {
                let most = bytes.number(5)?;
                if most > TABLE {
                    return Err(BROKEN);
                }
                self.most = most;
                self.shrink();
                continue;
            } else {
                self.literal(&mut bytes, 4)?
            };
            length += size(&header);
            if length > LONGEST {
                return Err("the server's header list is longer than 1 MiB");
            }
            headers.push(header);
        }
        Ok(headers)
    }

    fn literal(&self, bytes: &mut Bytes<'_>, bits: u8) -> Result<Header, &'static str> {
        let name = match bytes.number(bits)? {
            0 => bytes.text()?,
            index => self.row(index)?.0,
        };
        Ok((name, bytes.text()?))
    }

    fn row(&self, index: usize) -> Result<Header, &'static str> {
        let index = index.checked_sub(1).ok_or(BROKEN)?;
        match STATIC.get(index) {
            Some((name, value)) => Ok(((*name).to_owned(), (*value).to_owned())),
            None => self.rows.get(index - STATIC.len()).cloned().ok_or(BROKEN),
        }
    }

    fn remember(&mut self, header: &Header) {
        self.size += size(header);
        self.rows.push_front(header.clone());
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.size > self.most {
            let Some(last) = self.rows.pop_back() else { return };
            self.size -= size(&last);
        }
    }
}

/// What a header counts for.
fn size((name, value): &Header) -> usize {
    name.len() + value.len() + 32
}

struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Result<u8, &'static str> {
        let (first, rest) = self.0.split_first().ok_or(BROKEN)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self, bits: u8) -> Result<usize, &'static str> {
        let most = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(BROKEN)
    }

    fn text(&mut self) -> Result<String, &'static str> {
        let packed = self.0.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.number(7)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(BROKEN)?;
        self.0 = rest;
        let text = if packed { unpacked(text)? } else { text.to_vec() };
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// A text out of its codes.
fn unpacked(packed: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut counts = [0_u32; 31];
    for length in CODE_LENGTHS {
        counts[usize::from(length)] += 1;
    }
    let mut order: Vec<u8> = (0..=255).collect();
    order.sort_by_key(|byte| (CODE_LENGTHS[usize::from(*byte)], *byte));
    let mut text = Vec::with_capacity(packed.len() * 2);
    // The bits so far, the first code of their number, and how many codes are shorter.
    let (mut code, mut length, mut first, mut shorter) = (0_u32, 0_usize, 0_u32, 0_u32);
    let mut padding = true;
    for at in 0..packed.len() * 8 {
        let bit = packed[at / 8] >> (7 - at % 8) & 1;
        code = code << 1 | u32::from(bit);
        first <<= 1;
        length += 1;
        padding &= bit == 1;
        let count = *counts.get(length).ok_or(BROKEN)?;
        if code.wrapping_sub(first) < count {
            text.push(order[usize::try_from(shorter + code - first).map_err(|_| BROKEN)?]);
            (code, length, first, shorter, padding) = (0, 0, 0, 0, true);
        } else {
            first += count;
            shorter += count;
        }
    }
    // What is left are fewer than eight bits, all ones.
    if length < 8 && padding { Ok(text) } else { Err(BROKEN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
        hex.chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn text(headers: &[Header]) -> String {
        headers.iter().flat_map(|(name, value)| [name, "=", value, ";"]).collect()
    }

    /// RFC 7541, C.5 and C.6: three responses of one connection, with a table so small that rows go.
    #[test]
    fn the_examples_of_the_standard_are_read() {
        let one = ":status=302;cache-control=private;date=Mon, 21 Oct 2013 20:13:21 GMT;location=https://www.example.com;";
        let two = ":status=307;cache-control=private;date=Mon, 21 Oct 2013 20:13:21 GMT;location=https://www.example.com;";
        let three = ":status=200;cache-control=private;date=Mon, 21 Oct 2013 20:13:22 GMT;location=https://www.example.com;content-encoding=gzip;set-cookie=foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1;";
        let plain = [
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
            "4803333037c1c0bf",
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        ];
        let packed = [
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            "4883640effc1c0bf",
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        ];
        for examples in [plain, packed] {
            let mut decoder = Decoder { most: 256, ..Decoder::new() };
            for (hex, headers) in examples.into_iter().zip([one, two, three]) {
                assert_eq!(text(&decoder.read(&bytes(hex)).unwrap()), headers);
            }
            assert_eq!((decoder.rows.len(), decoder.size), (3, 215));
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let long = "x".repeat(300);
        let mut list = Vec::new();
        put_row(&mut list, 3);
        put(&mut list, 4, "", &long);
        put(&mut list, 0, "te", "trailers");
        let headers = Decoder::new().read(&list).unwrap();
        assert_eq!(text(&headers), format!(":method=POST;:path={long};te=trailers;"));
    }

    #[test]
    fn every_byte_has_a_code() {
        // All codes one after the other, the shortest first; what is left of the last byte is ones.
        let mut order: Vec<u8> = (0..=255).collect();
        order.sort_by_key(|byte| (CODE_LENGTHS[usize::from(*byte)], *byte));
        let (mut bits, mut code, mut before) = (String::new(), 0_u32, 0);
        for byte in &order {
            let length = CODE_LENGTHS[usize::from(*byte)];
            code <<= length - before;
            bits.push_str(&format!("{code:0width$b}", width = usize::from(length)));
            (code, before) = (code + 1, length);
        }
        // The one code that is left means the end, and is of ones.
        assert_eq!(code, (1 << 30) - 1);
        while bits.len() % 8 != 0 {
            bits.push('1');
        }
        let packed: Vec<u8> = bits
            .as_bytes()
            .chunks(8)
            .map(|bits| u8::from_str_radix(std::str::from_utf8(bits).unwrap(), 2).unwrap())
            .collect();
        assert_eq!(unpacked(&packed).unwrap(), order);
    }

    #[test]
    fn what_is_broken_is_an_error() {
        for hex in [
            "80",                   // row 0
            "be",                   // a row that is not there
            "ff ff ff ff ff 0f",    // a number without an end
            "00 05 61",             // a text that is cut off
            "00 81 00 81 00",       // no code ends with zeros
            "00 84 ff ff ff ff 00", // the code that means the end
            "3f e2 1f",             // a table larger than is allowed
            "40",
        ] {
            assert!(Decoder::new().read(&bytes(hex)).is_err(), "{hex}");
        }
        // One row of the table, asked for again and again.
        let mut list = vec![0x40, 1, b'a', 0x7f, 0x80 | 0x51, 0x1e];
        list.extend(vec![b'x'; 127 + 0x51 + (0x1e << 7)]);
        list.extend(vec![0xbe; 1 << 20]);
        let error = Decoder::new().read(&list).unwrap_err();
        assert_eq!(error, "the server's header list is longer than 1 MiB");
    }
}
