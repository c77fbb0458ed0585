// Package canon reads and writes the canonical JSON that Qifeng hashes and
// signs: a subset of RFC 8785 (JSON Canonicalization Scheme) so small that a
// value has exactly one spelling.
//
// The language: objects, arrays, strings, booleans and integers from 0 to
// 2^53-1. Object keys are ASCII, in strictly rising order. There is no white
// space. Strings are valid UTF-8 with exactly the escapes that RFC 8785
// §3.2.2.2 prescribes. Refused everywhere: duplicate, unknown or wrong-case
// keys, null, a byte order mark, lone surrogates, fractions, exponents, signs,
// leading zeros, integers above 2^53-1 and trailing data. Refused in strings
// besides: control, bidirectional-format and zero-width characters, by which
// two different texts could look alike to a reader. Nothing normalises Unicode.
//
// [Decoder] walks the bytes once and accepts exactly that language, so input
// is valid only if it equals its own canonical form; there is no second step
// in which the two could differ. [Canonicalize] is the one liberal door: it
// takes JSON whose white space, key order and escapes are free (a file that
// somebody opened in an editor) and returns the canonical bytes, with every
// other refusal above in force.
//
// The package is not a general JSON library: it has no reflection, no floats
// and no maps. Input may come from anyone; nothing here panics on it, and
// depth and sizes are bounded by limits.go.
package canon
