//! Small ELF files that say to a loader what a test wants.

/// A program or library without any code.
#[derive(Debug, Clone, Default)]
pub(crate) struct ElfFile<'a> {
    /// `EM_X86_64`, 62, where it is 0; `EM_AARCH64` is 183.
    pub(crate) machine: u16,
    pub(crate) interpreter: Option<&'a str>,
    pub(crate) soname: Option<&'a str>,
    pub(crate) needed: &'a [&'a str],
    pub(crate) runpath: Option<&'a str>,
    pub(crate) rpath: Option<&'a str>,
    pub(crate) versions_needed: &'a [(&'a str, &'a [&'a str])],
    pub(crate) versions: &'a [&'a str],
    /// Bytes of a program between the first segment and the names, which then stand in a segment of their own at the end.
    pub(crate) code: Option<usize>,
}

const ADDRESS: usize = 0x40_0000;

impl ElfFile<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let is_dynamic = self.interpreter.is_some() || self.soname.is_some() || !self.needed.is_empty();
        let mut strings = vec![0];
        let mut string = |text: &str| {
            let at = strings.len();
            strings.extend(text.as_bytes());
            strings.push(0);
            at
        };
        let mut rows: Vec<(usize, usize)> = self.needed.iter().map(|name| (1, string(name))).collect();
        rows.extend(self.soname.map(|name| (14, string(name))));
        rows.extend(self.rpath.map(|path| (15, string(path))));
        rows.extend(self.runpath.map(|path| (29, string(path))));
        let mut needed = Vec::new();
        for (index, (library, versions)) in self.versions_needed.iter().enumerate() {
            let last = index + 1 == self.versions_needed.len();
            let next = if last { 0 } else { 16 + 16 * versions.len() };
            halves(&mut needed, &[1, versions.len()]);
            words(&mut needed, &[string(library), 16, next]);
            for (number, version) in versions.iter().enumerate() {
                let (weak, version) = version.strip_prefix('?').map_or((0, *version), |version| (2, version));
                words(&mut needed, &[0]);
                halves(&mut needed, &[weak, 2]);
                let next = if number + 1 == versions.len() { 0 } else { 16 };
                words(&mut needed, &[string(version), next]);
            }
        }
        let mut defined = Vec::new();
        let own = [self.soname.unwrap_or("self")];
        for (index, version) in own.iter().chain(self.versions).enumerate() {
            let next = if index == self.versions.len() { 0 } else { 28 };
            halves(&mut defined, &[1, usize::from(index == 0), index + 1, 1]);
            words(&mut defined, &[0, 20, next, string(version), 0]);
        }
        let interpreter = self.interpreter.map(|path| format!("{path}\0").into_bytes()).unwrap_or_default();

        let count = if is_dynamic { 4 } else { 1 };
        let head = 64 + 56 * count;
        let first = head + interpreter.len();
        let at = first + self.code.unwrap_or(0);
        let (needed_at, defined_at) = (at + strings.len(), at + (strings.len() + needed.len()));
        let dynamic_at = defined_at + defined.len();
        if !self.versions_needed.is_empty() {
            rows.extend([(0x6fff_fffe, ADDRESS + needed_at), (0x6fff_ffff, self.versions_needed.len())]);
        }
        if !self.versions.is_empty() {
            rows.extend([(0x6fff_fffc, ADDRESS + defined_at), (0x6fff_fffd, self.versions.len() + 1)]);
        }
        rows.extend([(5, ADDRESS + at), (10, strings.len()), (0, 0)]);
        let end = dynamic_at + 16 * rows.len();

        let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        halves(&mut bytes, &[3, if self.machine == 0 { 62 } else { self.machine.into() }]);
        words(&mut bytes, &[1]);
        longs(&mut bytes, &[0, 64, 0]);
        words(&mut bytes, &[0]);
        halves(&mut bytes, &[64, 56, count, 64, 0, 0]);
        let mut segment = |kind: usize, flags: usize, start: usize, end: usize| {
            words(&mut bytes, &[kind, flags]);
            longs(&mut bytes, &[start, ADDRESS + start, 0, end - start, end - start, 1]);
        };
        segment(1, 4, 0, if self.code.is_some() { first } else { end });
        if is_dynamic {
            // PT_NULL in place of what is not there.
            segment(if interpreter.is_empty() { 0 } else { 3 }, 4, head, first);
            segment(2, 6, dynamic_at, end);
            segment(self.code.is_some().into(), 6, at, end);
            bytes.extend(interpreter);
            bytes.resize(at, 0x90);
            bytes.extend(strings);
            bytes.extend(needed);
            bytes.extend(defined);
            rows.iter().for_each(|(tag, value)| longs(&mut bytes, &[*tag, *value]));
        }
        bytes
    }
}

fn halves(bytes: &mut Vec<u8>, values: &[usize]) {
    values.iter().for_each(|value| bytes.extend(&value.to_le_bytes()[..2]));
}

fn words(bytes: &mut Vec<u8>, values: &[usize]) {
    values.iter().for_each(|value| bytes.extend(&value.to_le_bytes()[..4]));
}

fn longs(bytes: &mut Vec<u8>, values: &[usize]) {
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
}
