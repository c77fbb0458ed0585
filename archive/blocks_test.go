package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

// TestBlockTree: of every leaf of trees around whole blocks comes the path that all
// leaves give, and from what was changed none.
func TestBlockTree(t *testing.T) {
	for _, size := range []int{1, 2, 31, 32, 33, 63, 64, 65, 96, 1000} {
		leaves := make([]merkle.Digest, size)
		for i := range leaves {
			leaves[i] = merkle.LeafHash([]byte{byte(i), byte(i >> 8)})
		}
		root, blocks := merkle.Root(leaves), kept(merkle.Blocks(leaves))
		if uint64(len(blocks)) != keptBlocks(uint64(size)) {
			t.Fatalf("of %d leaves %d blocks are kept", size, len(blocks))
		}
		given := slices.Clone(leaves)
		read := func(from, n uint64) ([]merkle.Digest, error) { return given[from : from+n], nil }
		tree, err := openBlocks(uint64(size), root, blocks, read)
		if err != nil {
			t.Fatal(err)
		}
		for i := range leaves {
			leaf, path, err := tree.leaf(uint64(i))
			if err != nil || leaf != leaves[i] {
				t.Fatalf("leaf %d of %d: %v", i, size, err)
			}
			if want, err := merkle.Inclusion(leaves, uint64(i)); err != nil || !slices.Equal(path, want) {
				t.Fatalf("the path of leaf %d of %d is another: %v", i, size, err)
			}
		}
		if _, _, err := tree.leaf(uint64(size)); !errors.Is(err, errBlocks) {
			t.Errorf("leaf %d of %d: %v", size, size, err)
		}
		given[size-1].SHA256[0] ^= 1
		if tree, err = openBlocks(uint64(size), root, blocks, read); err != nil {
			t.Fatal(err)
		}
		if _, _, err := tree.leaf(uint64(size - 1)); !errors.Is(err, errBlocks) {
			t.Errorf("a changed leaf of %d: %v", size, err)
		}
		for i := range blocks {
			bad := slices.Clone(blocks)
			bad[i].SM3[31] ^= 1
			if _, err := openBlocks(uint64(size), root, bad, read); !errors.Is(err, errBlocks) {
				t.Errorf("a changed block of %d: %v", size, err)
			}
		}
	}
}

// TestLargeGroup: records of requests of more than one block are answered as at
// intake, from the journal, after a restart and from the closed batch; and a hash
// beside the leaves that is changed, with its checksum, is found in each.
func TestLargeGroup(t *testing.T) {
	w := newWorld(t)
	w.chain.hold = true
	w.open()
	w.submit(submission(evidence.ContractFinal))
	until(t, "batch 1 is closed", func() bool { return w.a.Status().Queued.Batches == 1 })
	held := slices.Concat(w.submit(submissions(3*merkle.BlockSize+1)...), w.submit(submissions(merkle.BlockSize)...), w.submit(submissions(merkle.BlockSize+1)...))
	same := func(when string) {
		t.Helper()
		for i, s := range held {
			got, err := w.a.ByID(s.ID)
			if err != nil || len(got) != 1 || !sameReceipt(got[0], s) {
				t.Fatalf("%s: record %d is answered otherwise: %v", when, i, err)
			}
			w.checkReceipt(got[0])
		}
	}
	same("in the journal")
	w.close()
	path := filepath.Join(w.dir, journalDir, journalName(2))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := changedBlock(t, good, held[0])
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if a, err := Open(w.cfg); !errors.Is(err, ErrTampered) {
		if err == nil {
			_ = a.Close()
		}
		t.Errorf("a changed hash in a journal: %v", err)
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	w.open()
	same("after a restart")
	w.chain.set(func(c *fakeChain) { c.hold = false })
	w.chain.release()
	w.settled()
	same("on the chain")
	for _, s := range held {
		w.checkPromise(s)
	}
	bodies, err := filepath.Glob(filepath.Join(w.dir, batchesDir, "*", "0000000000000002-*"))
	if err != nil || len(bodies) != 1 {
		t.Fatal(bodies, err)
	}
	if good, err = os.ReadFile(bodies[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bodies[0], changedBlock(t, good, held[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.a.ByID(held[0].ID); !errors.Is(err, ErrTampered) {
		t.Errorf("a changed hash in a closed batch: %v", err)
	}
}

// changedBlock changes the first block of a record's receipt and puts the frame's
// checksum right.
func changedBlock(t *testing.T, file []byte, of Stored) []byte {
	t.Helper()
	bad := bytes.Clone(file)
	at := bytes.Index(bad, of.ReceiptHead)
	if at < 0 {
		t.Fatal("the file has not this receipt")
	}
	bad[at+len(of.ReceiptHead)] ^= 1
	start := int64(len(filePreface)) + frameSize(len(opening{of.Seq, testNode, testChain}.encode())-frameHead)
	for {
		n := int64(binary.BigEndian.Uint32(bad[start+4:]))
		end := start + frameSize(int(n))
		if int64(at) < end {
			copy(bad[start:end], sealFrame(bytes.Clone(bad[start:end-frameTail]), of.Seq, start))
			return bad
		}
		start = end
	}
}
