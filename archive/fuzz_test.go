package archive

import (
	"bytes"
	"testing"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

func sampleGroup() *group {
	a, b := merkle.Sum([]byte("a")), merkle.Sum([]byte("b"))
	return &group{registry: 3, received: 1234567890123, base: [3]uint32{4, 0, 9}, head: []byte("head"),
		statements: []groupStatement{{signed: []byte("one"), pairs: []merkle.Digest{a, b}}, {signed: []byte("two"), pairs: []merkle.Digest{b}}},
		records:    []groupRecord{{[]byte("r0"), 0, 1, 2}, {[]byte("record"), 1, 0, 0}}}
}

// largeGroup has trees of more than one block.
func largeGroup() *group {
	g := sampleGroup()
	pairs := make([]merkle.Digest, merkle.BlockSize+1)
	for i := range pairs {
		pairs[i] = merkle.Sum([]byte{byte(i)})
		g.records = append(g.records, groupRecord{[]byte("r"), 0, uint32(i), 1})
	}
	g.statements[0].pairs, g.statements[0].blocks = pairs, merkle.Blocks(pairs)
	g.blocks = make([]merkle.Digest, keptBlocks(uint64(len(g.records))))
	return g
}

func FuzzGroup(f *testing.F) {
	f.Add(largeGroup().encode(nil)[frameHead:])
	f.Add(sampleGroup().encode(nil)[frameHead:])
	f.Add((&group{}).encode(nil)[frameHead:])
	f.Fuzz(func(t *testing.T, p []byte) {
		g, err := decodeGroup(p)
		if err != nil {
			return
		}
		if !bytes.Equal(g.encode(nil)[frameHead:], p) {
			t.Fatal("a group was read that is not written so")
		}
	})
}

func FuzzFooter(f *testing.F) {
	trees := newTrees()
	for i, n := range []int{5, 0, 2} {
		for range n {
			trees[i].Append(merkle.LeafHash([]byte{byte(n)}))
		}
	}
	b, err := encodeFooter([]byte("header"), &trees, 99)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[frameHead:])
	f.Add(sealFrame(b, 1, 0))
	f.Fuzz(func(t *testing.T, p []byte) {
		// Whole files, and payloads alone; what is read must lie within them.
		if foot, err := readFooter(bytes.NewReader(p), int64(len(p)), 1); err == nil {
			for s := range evidence.Streams {
				nodes := foot.stream(bytes.NewReader(p), uint8(s))
				if _, err := nodes.leaves(0, nodes.size); err != nil {
					t.Fatal(err)
				}
				if nodes.size > 0 && nodes.size < 1<<16 {
					if _, err := merkle.InclusionAt(nodes.size-1, nodes.size, nodes); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if foot, err := decodeFooter(p, len(p)); err == nil && foot.nodes > int64(len(p)) {
			t.Fatal("the nodes lie behind the payload")
		}
	})
}

func FuzzOpening(f *testing.F) {
	f.Add(opening{7, testNode, testChain}.encode()[frameHead:])
	f.Fuzz(func(t *testing.T, p []byte) {
		o, err := decodeOpening(p)
		if err == nil && !bytes.Equal(o.encode()[frameHead:], p) {
			t.Fatal("an opening was read that is not written so")
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(locator{1, 2, 3}.cursor())
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseCursor(s)
		if err == nil && s != "" && at.cursor() != s {
			t.Fatalf("%q is read as %q", s, at.cursor())
		}
	})
}

// FuzzBatchFile replays whatever stands in a batch file.
func FuzzBatchFile(f *testing.F) {
	open := append(bytes.Clone(filePreface), sealFrame(opening{2, testNode, testChain}.encode(), 2, int64(len(filePreface)))...)
	f.Add(open)
	f.Add(append(bytes.Clone(open), sealFrame(sampleGroup().encode(nil), 2, int64(len(open)))...))
	w := &world{cfg: Config{Node: testNode, ChainID: testChain, Intake: newSigner(f)}}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, groups, err := replayBytes(w, data)
		if err == nil && (groups != 0 || r.batch.records != 0) {
			t.Fatal("a group without our signature was believed")
		}
	})
}

func TestGroupRoundTrip(t *testing.T) {
	for name, g := range map[string]*group{"small": sampleGroup(), "large": largeGroup()} {
		t.Run(name, func(t *testing.T) {
			p := g.encode(nil)[frameHead:]
			back, err := decodeGroup(p)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(back.encode(nil)[frameHead:], p) {
				t.Fatal("the group changed")
			}
			for n := range p {
				if _, err := decodeGroup(p[:n]); err == nil {
					t.Fatalf("a group cut to %d of %d bytes was read", n, len(p))
				}
			}
			if _, err := decodeGroup(append(bytes.Clone(p), 0)); err == nil {
				t.Fatal("a group with a byte behind it was read")
			}
		})
	}
}
