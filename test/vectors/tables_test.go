package vectors

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"qifeng/evidence/canon"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// documentCase is one element of canonical-json.json.
type documentCase struct {
	Name      string `json:"name"`
	Reading   string `json:"reading"` // strict or liberal
	Data      []byte `json:"data"`    // base64
	Canonical []byte `json:"canonical,omitempty"`
	Valid     bool   `json:"valid"`
}

func canonicalVectors() (out []documentCase) {
	strict := func(valid bool, docs ...string) {
		for i := 0; i < len(docs); i += 2 {
			out = append(out, documentCase{Name: docs[i], Reading: "strict", Data: []byte(docs[i+1]), Valid: valid})
		}
	}
	liberal := func(valid bool, docs ...string) {
		for i := 0; i < len(docs); i += 3 {
			c := documentCase{Name: docs[i], Reading: "liberal", Data: []byte(docs[i+1]), Valid: valid}
			if valid {
				c.Canonical = []byte(docs[i+2])
			}
			out = append(out, c)
		}
	}
	strict(true,
		"empty object", `{}`, "empty array", `[]`, "empty string", `""`, "true", `true`, "false", `false`, "zero", `0`,
		"largest integer", `9007199254740991`, "sorted keys", `{"A":1,"_":2,"a":3,"a1":4,"aa":5}`, "empty key", `{"":1}`,
		"nested 16", strings.Repeat("[", 16)+strings.Repeat("]", 16), "Chinese", `"房屋租赁合同"`, "beyond the BMP", `"𠮷😀"`,
		"escapes", `"\"\\/"`, "line feed", `"a\nb"`, "key of 64", `{"`+strings.Repeat("k", 64)+`":0}`, "U+00A0 is a character", "\"\u00a0\"",
		"noncharacter U+FFFE", "\"\ufffe\"", "replacement character", "\"\ufffd\"", "decomposed letter", "\"e\u0301\"",
	)
	strict(false,
		"nothing", ``, "two values", `1 2`, "trailing line feed", "{}\n", "leading space", ` {}`, "space after colon", `{"a": 1}`,
		"space after comma", `[1, 2]`, "null", `null`, "null inside", `{"a":null}`, "duplicate key", `{"a":1,"a":1}`, "unsorted keys", `{"b":1,"a":2}`,
		"upper case sorts first", `{"a":1,"B":2}`, "key not ASCII", `{"é":1}`, "key of 65", `{"`+strings.Repeat("k", 65)+`":0}`,
		"minus zero", `-0`, "negative", `-1`, "fraction", `1.5`, "fraction of zero", `1.0`, "exponent", `1e2`, "exponent zero", `0e0`, "leading zero", `01`,
		"double zero", `00`, "plus", `+1`, "2^53", `9007199254740992`, "huge", strings.Repeat("9", 400), "NaN", `NaN`, "Infinity", `Infinity`, "hex", `0x10`,
		"byte order mark", "\ufeff{}", "escaped letter", `"\u0061"`, "escaped slash", `"\/"`, "tab escape", `"\t"`, "carriage return escape", `"\r"`,
		"backspace escape", `"\b"`, "form feed escape", `"\f"`, "escaped control", `"\u0001"`, "raw line feed", "\"\n\"", "raw tab", "\"\t\"", "NUL", "\"\x00\"",
		"DEL", "\"\x7f\"", "C1 control", "\"\u0085\"", "lone surrogate escape", `"\ud800"`, "surrogate pair escape", `"\ud83d\ude00"`,
		"surrogate in UTF-8", "\"\xed\xa0\x80\"", "invalid UTF-8", "\"\xff\"", "overlong", "\"\xc0\xaf\"", "cut UTF-8", "\"\xe4\xb8\"", "beyond Unicode", "\"\xf4\x90\x80\x80\"",
		"bidi override", "\"\u202e\"", "bidi isolate", "\"\u2066\"", "Arabic letter mark", "\"\u061c\"", "left-to-right mark", "\"\u200e\"",
		"zero-width space", "\"\u200b\"", "zero-width joiner", "\"\u200d\"", "word joiner", "\"\u2060\"", "soft hyphen", "\"\u00ad\"", "inner BOM", "\"\ufeff\"",
		"Hangul filler", "\"\u3164\"", "half-width Hangul filler", "\"\uffa0\"", "line separator", "\"\u2028\"", "paragraph separator", "\"\u2029\"", "tag character", "\"\U000e0041\"",
		"Mongolian vowel separator", "\"\u180e\"", "interlinear annotation", "\"\ufff9\"", "nested 17", strings.Repeat("[", 17)+strings.Repeat("]", 17),
		"unclosed object", `{"a":1`, "unclosed string", `"a`, "trailing comma", `[1,]`, "missing comma", `[1 2]`, "single quotes", `'a'`, "comment", `{}//x`, "unquoted key", `{a:1}`, "True", `True`,
	)
	liberal(true,
		"white space", " {\n\t\"b\" : 1 ,\r\n\"a\" : [ ] } ", `{"a":[],"b":1}`, "key order", `{"b":1,"a":2}`, `{"a":2,"b":1}`,
		"byte order mark first", "\ufeff{}", `{}`, "escapes", `"\u0061\/\u4e2d\n\u000a\"\\"`, `"a/中\n\n\"\\"`, "surrogate pair", `"\ud83d\ude00"`, `"😀"`,
		"keys in escapes", `{"\u0062":1,"a":2}`, `{"a":2,"b":1}`,
	)
	liberal(false,
		"duplicate key", `{"a":1,"a":1}`, "", "duplicate by escapes", `{"a":1,"\u0061":2}`, "", "null", `null`, "", "fraction", `1.0`, "", "minus zero", `-0`, "",
		"lone high surrogate", `"\ud800"`, "", "lone low surrogate", `"\udc00x"`, "", "pair reversed", `"\ude00\ud83d"`, "", "tab escape", `"\t"`, "", "NUL escape", `"\u0000"`, "",
		"bidi escape", `"\u202e"`, "", "zero-width escape", `"\u200b"`, "", "unknown escape", `"\x"`, "", "short escape", `"\u12"`, "", "two byte order marks", "\ufeff\ufeff{}", "",
		"nested 17", strings.Repeat("[", 17)+strings.Repeat("]", 17), "", "trailing data", `{} 1`, "", "key not ASCII", `{"é":1}`, "", "vertical tab between", "{\v}", "", "no-break space between", "{\u00a0}", "",
	)
	return out
}

func TestCanonicalJSON(t *testing.T) {
	var cases []documentCase
	readJSON(t, "canonical-json.json", &cases)
	if want := canonicalVectors(); !slices.EqualFunc(cases, want, func(a, b documentCase) bool {
		return a.Name == b.Name && a.Reading == b.Reading && a.Valid == b.Valid && bytes.Equal(a.Data, b.Data)
	}) {
		t.Error("canonical-json.json differs from the table: run with -update")
	}
	for _, c := range cases {
		var err error
		if c.Reading == "strict" {
			err = canon.IsCanonical(c.Data)
		} else {
			var got []byte
			if got, err = canon.Canonicalize(c.Data, 1<<16); err == nil && !bytes.Equal(got, c.Canonical) {
				t.Errorf("%s %s: canonical form is %q, want %q", c.Reading, c.Name, got, c.Canonical)
			}
		}
		if (err == nil) != c.Valid {
			t.Errorf("%s %s: %q: %v, want valid: %v", c.Reading, c.Name, c.Data, err, c.Valid)
		}
	}
}

// pairJSON is a digest pair as it stands in the vectors.
type pairJSON struct {
	SHA256 string `json:"sha256"`
	SM3    string `json:"sm3"`
}

func pairOf(d merkle.Digest) pairJSON {
	return pairJSON{hex.EncodeToString(d.SHA256[:]), hex.EncodeToString(d.SM3[:])}
}

func (p pairJSON) digest() (d merkle.Digest) {
	copy(d.SHA256[:], must(hex.DecodeString(p.SHA256)))
	copy(d.SM3[:], must(hex.DecodeString(p.SM3)))
	return d
}

// merkleFile is merkle.json: the leaf data of all trees is the decimal number
// of the leaf.
type merkleFile struct {
	Roots       []pairJSON        `json:"roots"` // by size, from 0
	Inclusion   []inclusionCase   `json:"inclusion"`
	Consistency []consistencyCase `json:"consistency"`
	Range       []rangeCase       `json:"range"`
}

type inclusionCase struct {
	Name  string     `json:"name"`
	Leaf  pairJSON   `json:"leaf"` // leaf hash
	Index uint64     `json:"index"`
	Size  uint64     `json:"size"`
	Path  []pairJSON `json:"path"`
	Root  pairJSON   `json:"root"`
	Valid bool       `json:"valid"`
}

type consistencyCase struct {
	Name  string     `json:"name"`
	M     uint64     `json:"m"`
	N     uint64     `json:"n"`
	Old   pairJSON   `json:"old"`
	New   pairJSON   `json:"new"`
	Path  []pairJSON `json:"path"`
	Valid bool       `json:"valid"`
}

type rangeCase struct {
	Name   string     `json:"name"`
	First  uint64     `json:"first"`
	Leaves []pairJSON `json:"leaves"` // leaf hashes
	Size   uint64     `json:"size"`
	Path   []pairJSON `json:"path"`
	Root   pairJSON   `json:"root"`
	Valid  bool       `json:"valid"`
}

func pairsOf(ds []merkle.Digest) []pairJSON {
	out := make([]pairJSON, len(ds))
	for i, d := range ds {
		out[i] = pairOf(d)
	}
	return out
}

func digestsOf(ps []pairJSON) (out []merkle.Digest) {
	for _, p := range ps {
		out = append(out, p.digest())
	}
	return out
}

// merkleVectors are true paths at chosen places, each with what breaks it.
func merkleVectors() (out merkleFile) {
	tree := merkle.NewTree(nil)
	for i := range 34 {
		out.Roots = append(out.Roots, pairOf(must(merkle.RootAt(uint64(i), tree))))
		tree.Append(merkle.LeafHash(fmt.Append(nil, i)))
	}
	for _, at := range [][2]uint64{{0, 1}, {0, 2}, {1, 2}, {2, 3}, {3, 7}, {6, 7}, {5, 8}, {9, 10}, {0, 13}, {12, 13}, {15, 16}, {16, 17}, {20, 33}, {32, 33}} {
		leaf := must(tree.Node(0, at[0]))
		path := must(merkle.InclusionAt(at[0], at[1], tree))
		root := must(merkle.RootAt(at[1], tree))
		add := func(name string, leaf merkle.Digest, index, size uint64, path []merkle.Digest, root merkle.Digest, valid bool) {
			out.Inclusion = append(out.Inclusion, inclusionCase{fmt.Sprintf("%d of %d %s", at[0], at[1], name), pairOf(leaf), index, size, pairsOf(path), pairOf(root), valid})
		}
		add("true", leaf, at[0], at[1], path, root, true)
		add("too long", leaf, at[0], at[1], append(slices.Clone(path), leaf), root, false)
		add("index is the size", leaf, at[1], at[1], path, root, false)
		add("root sm3", leaf, at[0], at[1], path, flipped(root, true), false)
		add("leaf sha256", flipped(leaf, false), at[0], at[1], path, root, false)
		if len(path) > 0 {
			add("too short", leaf, at[0], at[1], path[1:], root, false)
			add("path sm3", leaf, at[0], at[1], slices.Concat(path[:len(path)-1], []merkle.Digest{flipped(path[len(path)-1], true)}), root, false)
			add("path sha256", leaf, at[0], at[1], slices.Concat([]merkle.Digest{flipped(path[0], false)}, path[1:]), root, false)
			add("other index", leaf, at[0]^1, at[1], path, root, false)
		}
	}
	for _, mn := range [][2]uint64{{0, 0}, {0, 5}, {1, 1}, {1, 2}, {1, 8}, {2, 3}, {3, 7}, {4, 7}, {6, 8}, {7, 7}, {8, 16}, {8, 33}, {13, 21}, {31, 33}, {32, 33}} {
		path := must(merkle.ConsistencyAt(mn[0], mn[1], tree))
		old, now := must(merkle.RootAt(mn[0], tree)), must(merkle.RootAt(mn[1], tree))
		add := func(name string, m, n uint64, old, now merkle.Digest, path []merkle.Digest, valid bool) {
			out.Consistency = append(out.Consistency, consistencyCase{fmt.Sprintf("%d to %d %s", mn[0], mn[1], name), m, n, pairOf(old), pairOf(now), pairsOf(path), valid})
		}
		add("true", mn[0], mn[1], old, now, path, true)
		add("too long", mn[0], mn[1], old, now, append(slices.Clone(path), old), false)
		add("old sm3", mn[0], mn[1], flipped(old, true), now, path, false)
		add("old sha256", mn[0], mn[1], flipped(old, false), now, path, false)
		if mn[0] > 0 {
			add("new sha256", mn[0], mn[1], old, flipped(now, false), path, false)
		}
		if len(path) > 0 {
			add("too short", mn[0], mn[1], old, now, path[:len(path)-1], false)
			add("backwards", mn[1], mn[0], now, old, path, false)
			add("path sm3", mn[0], mn[1], old, now, slices.Concat([]merkle.Digest{flipped(path[0], true)}, path[1:]), false)
		}
	}
	out.Range = rangeVectors(tree)
	return out
}

// rangeVectors are true range paths, each with what breaks it.
func rangeVectors(tree *merkle.Tree) (out []rangeCase) {
	for _, at := range [][3]uint64{{0, 1, 1}, {0, 3, 3}, {1, 2, 3}, {2, 5, 7}, {0, 4, 8}, {3, 5, 8}, {6, 7, 7}, {5, 12, 13}, {16, 17, 17}, {15, 20, 33}} {
		lo, size := at[0], at[2]
		var leaves []merkle.Digest
		for i := lo; i < at[1]; i++ {
			leaves = append(leaves, must(tree.Node(0, i)))
		}
		path := must(merkle.RangeAt(lo, at[1], size, tree))
		root := must(merkle.RootAt(size, tree))
		add := func(name string, leaves []merkle.Digest, first, size uint64, path []merkle.Digest, root merkle.Digest, valid bool) {
			out = append(out, rangeCase{fmt.Sprintf("%d to %d of %d %s", lo, at[1], at[2], name), first, pairsOf(leaves), size, pairsOf(path), pairOf(root), valid})
		}
		add("true", leaves, lo, size, path, root, true)
		add("too long", leaves, lo, size, append(slices.Clone(path), root), root, false)
		add("no leaf", nil, lo, size, path, root, false)
		add("beyond the end", leaves, size, size, path, root, false)
		add("leaf sm3", slices.Concat(leaves[:len(leaves)-1], []merkle.Digest{flipped(leaves[len(leaves)-1], true)}), lo, size, path, root, false)
		add("root sha256", leaves, lo, size, path, flipped(root, false), false)
		if len(path) > 0 {
			add("too short", leaves, lo, size, path[1:], root, false)
			add("path sha256", leaves, lo, size, slices.Concat([]merkle.Digest{flipped(path[0], false)}, path[1:]), root, false)
			add("other place", leaves, lo^1, size, path, root, false)
		}
	}
	return out
}

func flipped(d merkle.Digest, sm3 bool) merkle.Digest {
	if sm3 {
		d.SM3[7] ^= 0x80
	} else {
		d.SHA256[7] ^= 0x80
	}
	return d
}

func TestMerkle(t *testing.T) {
	var f merkleFile
	readJSON(t, "merkle.json", &f)
	if fmt.Sprint(f) != fmt.Sprint(merkleVectors()) {
		t.Error("merkle.json differs from what this package computes")
	}
	for _, c := range f.Inclusion {
		err := merkle.VerifyInclusion(c.Leaf.digest(), c.Index, c.Size, digestsOf(c.Path), c.Root.digest())
		if (err == nil) != c.Valid {
			t.Errorf("inclusion %s: %v, want valid: %v", c.Name, err, c.Valid)
		}
	}
	for _, c := range f.Range {
		err := merkle.VerifyRange(digestsOf(c.Leaves), c.First, c.Size, digestsOf(c.Path), c.Root.digest())
		if (err == nil) != c.Valid {
			t.Errorf("range %s: %v, want valid: %v", c.Name, err, c.Valid)
		}
	}
	for _, c := range f.Consistency {
		err := merkle.VerifyConsistency(c.M, c.N, c.Old.digest(), c.New.digest(), digestsOf(c.Path))
		if (err == nil) != c.Valid {
			t.Errorf("consistency %s: %v, want valid: %v", c.Name, err, c.Valid)
		}
	}
}

// noteCase is one element of note.json.
type noteCase struct {
	Name       string   `json:"name"`
	Policy     string   `json:"policy"`
	Note       []byte   `json:"note"` // base64
	Open       bool     `json:"open"`
	Counted    []string `json:"counted"`               // members that count
	SealedTime int64    `json:"sealed_time,omitempty"` // 0: the quorum is not met
}

func openNote(t *testing.T, c noteCase) (open bool, counted []string, sealed int64) {
	p, err := checkpoint.ParsePolicy(read(t, c.Policy))
	if err != nil {
		t.Fatal(err)
	}
	s, err := checkpoint.Open(c.Note, p, checkpoint.Options{Second: true})
	if err != nil {
		return false, []string{}, 0
	}
	counted = []string{}
	for _, seal := range s.Seals {
		counted = append(counted, seal.Member)
	}
	return true, counted, s.SealedTime
}

func TestNote(t *testing.T) {
	var cases []noteCase
	readJSON(t, "note.json", &cases)
	for _, c := range cases {
		open, counted, sealed := openNote(t, c)
		if open != c.Open || !slices.Equal(counted, c.Counted) || sealed != c.SealedTime {
			t.Errorf("%s: open %v, counted %v, sealed time %d; want %v, %v, %d", c.Name, open, counted, sealed, c.Open, c.Counted, c.SealedTime)
		}
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
