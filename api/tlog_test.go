package api_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/tlog"

	"qifeng/api"
	"qifeng/api/apitest"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// get fetches a path as a tool of strangers does, without our client.
func get(t *testing.T, n *apitest.TestNode, path string) []byte {
	t.Helper()
	resp, body := call(t, n, "GET", path, nil)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
	}
	return body
}

// bundle splits an entry bundle with torchwood.
func bundle(t *testing.T, b []byte) (out [][]byte) {
	t.Helper()
	for len(b) > 0 {
		entry, rest, err := torchwood.ReadTileEntry(b)
		if err != nil {
			t.Fatal(err)
		}
		out, b = append(out, entry), rest
	}
	return out
}

// signing is the transport of a stock tool behind a member's read key.
type signing struct{ n *apitest.TestNode }

func (s signing) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if err := s.n.ReadAs(r); err != nil {
		return nil, err
	}
	return s.n.HTTP.Client().Transport.RoundTrip(r)
}

// stockTool is torchwood, of which only the transport knows who reads.
func stockTool(t *testing.T, n *apitest.TestNode) (*torchwood.TileFetcher, *torchwood.Client) {
	t.Helper()
	fetcher, err := torchwood.NewTileFetcher(n.HTTP.URL+"/tlog", torchwood.WithHTTPClient(&http.Client{Transport: signing{n}}))
	if err != nil {
		t.Fatal(err)
	}
	client, err := torchwood.NewClient(fetcher)
	if err != nil {
		t.Fatal(err)
	}
	return fetcher, client
}

// stockTree is what a stock tool knows after it has verified the checkpoint.
func stockTree(t *testing.T, n *apitest.TestNode) tlog.Tree {
	t.Helper()
	policies, err := checkpoint.StockPolicies(n.Policy)
	if err != nil {
		t.Fatal(err)
	}
	policy, err := torchwood.ParsePolicy(policies[checkpoint.StockPolicyName(&n.Policy.Epochs[0], apitest.Node)])
	if err != nil {
		t.Fatal(err)
	}
	cp, _, err := torchwood.VerifyCheckpoint(get(t, n, "/tlog/checkpoint"), policy)
	if err != nil {
		t.Fatal(err)
	}
	return cp.Tree
}

// TestStockToolReadsTheLedger: torchwood, which knows nothing of us, follows a
// ledger over the sizes where tiles fill, and verifies every entry of it by the
// checkpoint, and the checkpoints among themselves.
func TestStockToolReadsTheLedger(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	fetcher, client := stockTool(t, n)
	var trees []tlog.Tree
	for _, size := range []uint64{2, 3, 255, 256, 257, 511, 512, 513, 600} {
		n.Ledger.Grow(t, size)
		n.Ledger.Seal()
		n.Ledger.Grow(t, size+1) // not sealed: nobody may see it
		tree := stockTree(t, n)
		if tree.N != int64(size) {
			t.Fatalf("the checkpoint is of size %d, want %d", tree.N, size)
		}
		next := int64(0)
		for i, entry := range client.AllEntries(t.Context(), tree, 0) {
			want, err := n.Ledger.Entry(uint64(i))
			if err != nil || i != next || !bytes.Equal(entry, want) {
				t.Fatalf("entry %d of %d differs: %v", i, size, err)
			}
			next++
		}
		if err := client.Err(); err != nil || next != tree.N {
			t.Fatalf("%d entries of %d: %v", next, size, err)
		}
		for _, i := range []int64{0, tree.N / 2, tree.N - 1} {
			entry, proof, err := client.Entry(t.Context(), tree, i)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, i, tlog.RecordHash(entry)); err != nil {
				t.Errorf("entry %d of %d: %v", i, size, err)
			}
		}
		hashes := torchwood.TileHashReaderWithContext(t.Context(), tree, fetcher)
		for _, old := range trees {
			proof, err := tlog.ProveTree(tree.N, old.N, hashes)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash); err != nil {
				t.Errorf("%d in %d: %v", old.N, tree.N, err)
			}
		}
		trees = append(trees, tree)
	}
}

// root folds hashes as RFC 6962 §2.1 says, word by word.
func root(hash func([]byte) [32]byte, leaves [][32]byte) [32]byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := 1
	for 2*k < len(leaves) {
		k *= 2
	}
	left, right := root(hash, leaves[:k]), root(hash, leaves[k:])
	return hash(append(append([]byte{1}, left[:]...), right[:]...))
}

// TestSM3Tiles: the entries hash to the SM3 tiles of level 0, these to those of
// level 1, and all to the root in the checkpoint's fourth line.
func TestSM3Tiles(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Grow(t, 600)
	n.Ledger.Seal()
	var leaves [][32]byte
	for i, path := range []string{"000", "001", "002.p/88"} {
		var want []byte
		entries := bundle(t, get(t, n, "/tlog/tile/entries/"+path))
		for _, entry := range entries {
			leaf := gm.SM3(append([]byte{0}, entry...))
			leaves = append(leaves, leaf)
			want = append(want, leaf[:]...)
		}
		if tile := get(t, n, "/tlog/sm3/tile/0/"+path); !bytes.Equal(tile, want) || len(tile) != []int{8192, 8192, 88 * 32}[i] {
			t.Errorf("level 0 tile %s does not fit its entries", path)
		}
	}
	first, second := root(gm.SM3, leaves[:256]), root(gm.SM3, leaves[256:512])
	if tile := get(t, n, "/tlog/sm3/tile/1/000.p/2"); !bytes.Equal(tile, append(first[:], second[:]...)) {
		t.Error("the tile of level 1 does not fit those of level 0")
	}
	note := get(t, n, "/tlog/checkpoint")
	body, _, _ := bytes.Cut(note, []byte("\n\n"))
	cp, err := checkpoint.ParseBody(append(body, '\n'))
	if err != nil || cp.Root.SM3 != root(gm.SM3, leaves) {
		t.Errorf("the SM3 root is not that of the tiles: %v", err)
	}
}

// TestOnlySealedIsServed: of every size, the tiles that it has and no more.
func TestOnlySealedIsServed(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	for _, path := range []string{"/tlog/checkpoint", "/tlog/tile/0/000.p/1", "/tlog/sm3/tile/0/000.p/1", "/tlog/tile/entries/000.p/1", "/v1/consistency?from=1"} {
		if resp, body := call(t, n, "GET", path, nil); resp.StatusCode != 404 {
			t.Errorf("before the first seal, %s: %d %s", path, resp.StatusCode, body)
		}
	}
	for _, size := range []uint64{2, 255, 256, 257, 512} {
		n.Ledger.Grow(t, size)
		n.Ledger.Seal()
		n.Ledger.Grow(t, size+1)
		for _, kind := range []string{"tile/0", "sm3/tile/0", "tile/entries"} {
			for index := range size/256 + 2 {
				for _, width := range []uint64{1, 2, size % 256, size%256 + 1, 255, 256} {
					if width == 0 {
						continue
					}
					path := fmt.Sprintf("/tlog/%s/%03d", kind, index)
					if width < 256 {
						path += fmt.Sprintf(".p/%d", width)
					}
					resp, body := call(t, n, "GET", path, nil)
					want := 404
					if index*256+width <= size {
						want = 200
					}
					if resp.StatusCode != want {
						t.Errorf("size %d, %s: %d, want %d", size, path, resp.StatusCode, want)
					}
					if want == 200 && kind != "tile/entries" && len(body) != int(width)*32 {
						t.Errorf("size %d, %s: %d bytes", size, path, len(body))
					}
				}
			}
		}
	}
}

// synthetic is a ledger of entries that nobody signed, for sizes too large to make.
type synthetic struct {
	api.Chain
	tree *merkle.Tree
	size uint64 // sealed
}

func (s *synthetic) Node(level uint8, index uint64) (merkle.Digest, error) {
	return s.tree.Node(level, index)
}

func (s *synthetic) SealedHead() (uint64, merkle.Digest) {
	root, err := merkle.RootAt(s.size, s.tree)
	if err != nil {
		panic(err)
	}
	return s.size, root
}

func (s *synthetic) Entry(index uint64) ([]byte, error) {
	return fmt.Appendf(nil, "entry %d", index), nil
}

// TestHighTiles: where level 1 fills and level 2 begins.
func TestHighTiles(t *testing.T) {
	leaves := make([]merkle.Digest, 65537+256)
	s := &synthetic{}
	for i := range leaves {
		entry, _ := s.Entry(uint64(i))
		leaves[i] = merkle.LeafHash(entry)
	}
	s.tree = merkle.NewTree(leaves)
	n := apitest.NewNode(t, apitest.Options{Chain: func(c api.Chain) api.Chain { s.Chain = c; return s }})
	_, client := stockTool(t, n)
	for _, tt := range []struct {
		size     uint64
		has, not []string
	}{
		{65535, []string{"0/255.p/255", "1/000.p/255"}, []string{"0/255", "1/000", "2/000.p/1"}},
		{65536, []string{"0/255", "1/000", "2/000.p/1"}, []string{"0/256.p/1", "1/001.p/1", "2/000.p/2", "3/000.p/1"}},
		{65537, []string{"0/256.p/1", "1/000", "2/000.p/1"}, []string{"0/256.p/2", "1/001.p/1", "2/000.p/2"}},
		{65537 + 255, []string{"0/256", "1/001.p/1"}, []string{"0/257.p/1", "1/001.p/2", "2/000.p/2"}},
	} {
		s.size = tt.size
		_, want := s.SealedHead()
		tree := tlog.Tree{N: int64(tt.size), Hash: tlog.Hash(want.SHA256)}
		for _, path := range tt.has {
			sha, sm3 := get(t, n, "/tlog/tile/"+path), get(t, n, "/tlog/sm3/tile/"+path)
			if len(sha) != len(sm3) || bytes.Equal(sha, sm3) {
				t.Errorf("size %d, %s", tt.size, path)
			}
		}
		for _, path := range tt.not {
			if resp, body := call(t, n, "GET", "/tlog/tile/"+path, nil); resp.StatusCode != 404 {
				t.Errorf("size %d has %s: %s", tt.size, path, body)
			}
		}
		for _, i := range []int64{0, 255, 256, 40000, 65279, 65280, int64(tt.size) - 1} {
			entry, proof, err := client.Entry(t.Context(), tree, i)
			if err != nil {
				t.Fatalf("size %d, entry %d: %v", tt.size, i, err)
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, i, tlog.RecordHash(entry)); err != nil {
				t.Errorf("size %d, entry %d: %v", tt.size, i, err)
			}
		}
		var top [][32]byte // the root of both trees from the highest tiles down
		for index := uint64(0); index*256 < tt.size/256; index++ {
			path := fmt.Sprintf("1/%03d", index)
			if w := min(256, tt.size/256-index*256); w < 256 {
				path += fmt.Sprintf(".p/%d", w)
			}
			for b := get(t, n, "/tlog/sm3/tile/"+path); len(b) > 0; b = b[32:] {
				top = append(top, [32]byte(b))
			}
		}
		if rest := tt.size % 256; rest > 0 {
			var last [][32]byte
			for b := get(t, n, fmt.Sprintf("/tlog/sm3/tile/0/%03d.p/%d", tt.size/256, rest)); len(b) > 0; b = b[32:] {
				last = append(last, [32]byte(b))
			}
			top = append(top, root(gm.SM3, last))
		}
		if root(gm.SM3, top) != want.SM3 {
			t.Errorf("size %d: the SM3 tiles do not make the root", tt.size)
		}
	}
}

// TestTileAnswers: headers, compression, and what is refused.
func TestTileAnswers(t *testing.T) {
	n := apitest.NewNode(t, apitest.Options{})
	n.Ledger.Grow(t, 300)
	n.Ledger.Seal()
	for path, age := range map[string]string{
		"/tlog/tile/0/000": "31536000", "/tlog/tile/0/001.p/44": "3600", "/tlog/sm3/tile/0/000": "31536000",
		"/tlog/tile/1/000.p/1": "3600", "/tlog/tile/entries/000": "31536000", "/tlog/tile/entries/000.p/7": "3600",
	} {
		resp, _ := call(t, n, "GET", path, nil)
		if got := resp.Header.Get("Cache-Control"); got != "private, max-age="+age+", immutable" || resp.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
	if resp, _ := call(t, n, "GET", "/tlog/checkpoint", nil); resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("checkpoint: %v", resp.Header)
	}
	plain := get(t, n, "/tlog/tile/entries/000")
	for accept, zipped := range map[string]bool{
		"gzip": true, "identity, gzip;q=0.5": true, "br, GZIP": true, "gzip;q=0": false, "gzip;q=0.0": false, "gzip;q=x": false,
		"identity": false, "*": false, "xgzip": false, "br": false,
	} {
		resp, body := call(t, n, "GET", "/tlog/tile/entries/000", nil, "Accept-Encoding", accept)
		if (resp.Header.Get("Content-Encoding") == "gzip") != zipped || resp.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v", accept, resp.Header)
		}
		if zipped {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(body, plain) {
			t.Errorf("%s: another bundle", accept)
		}
	}
	for path, field := range map[string]string{
		"/tlog/tile/0/0": "path", "/tlog/tile/64/000": "level", "/tlog/tile/entries/": "path", "/tlog/tile/0/": "path",
		"/tlog/tile/0//000": "path", "/tlog/tile/0/000/": "path", "/tlog/tile/0/000.p/256": "path", "/tlog/tile/data/000": "level",
		"/tlog/tile/0/000.p%2F1": "path", "/tlog/tile/0/000%00": "path", "/tlog/sm3/tile/entries/000": "level", "/tlog/tile/0/000?x=1": "",
		"/tlog/tile/0/" + strings.Repeat("x001/", 300) + "000": "path",
	} {
		resp, body := raw(t, n, path)
		if p := problemOf(t, resp, body); p.Status != 400 || p.Code != "bad-parameter" || p.Field != field {
			t.Errorf("%s: %s", path, body)
		}
	}
	// What a proxy might rewrite cannot be signed, and is no other's door either.
	for _, path := range []string{
		"/tlog/tile/0/../0/000", "/tlog/tile/../checkpoint", "/tlog/tile/0/000%2ep/1", "/tlog/tile/0/%30%30%30", "/tlog/tile/0/..%2f..%2fetc%2fpasswd",
	} {
		if resp, body := raw(t, n, path); resp.StatusCode != 401 || problemOf(t, resp, body).Code != "signature-missing" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	for _, path := range []string{"/tlog/tile/0", "/tlog/tile/", "/tlog", "/tlog/", "/tlog/sm3/checkpoint", "/tlog/tile/0/002.p/1", "/tlog/tile/7/000", "/tlog/tile/0/x999/x999/x999/x999/999"} {
		if resp, body := raw(t, n, path); resp.StatusCode != 404 || problemOf(t, resp, body).Code != "not-found" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	for _, path := range []string{"/tlog/tile/0/000", "/tlog/sm3/tile/0/000", "/tlog/tile/entries/000", "/tlog/tile/0/999", "/v1/consistency?from=1"} {
		if resp, body := call(t, n, "GET", path, nil, unsigned...); resp.StatusCode != 401 {
			t.Errorf("unsigned %s: %d %s", path, resp.StatusCode, body)
		}
		n.ReadAs = n.Signs(apitest.Node) // a vendor is a member
		if resp, body := call(t, n, "GET", path, nil); resp.StatusCode == 401 || resp.StatusCode == 403 {
			t.Errorf("a vendor, %s: %d %s", path, resp.StatusCode, body)
		}
		n.ReadAs = n.Signs(apitest.Court)
	}
	if resp, body := call(t, n, "GET", "/tlog/checkpoint", nil, unsigned...); resp.StatusCode != 200 {
		t.Errorf("the checkpoint is public: %d %s", resp.StatusCode, body)
	}
	for _, method := range []string{"POST", "PUT", "DELETE"} {
		if resp, body := call(t, n, method, "/tlog/checkpoint", nil); resp.StatusCode != 405 {
			t.Errorf("%s: %d %s", method, resp.StatusCode, body)
		}
	}
}

// raw asks for a path as it is written, signed if such a path can be, without holding the answer against the
// description, which does not speak of such paths.
func raw(t *testing.T, n *apitest.TestNode, path string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", n.HTTP.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = n.ReadAs(req)
	resp, err := n.HTTP.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

// TestLargestBundle: a genesis as large as one may be, beside its neighbours.
func TestLargestBundle(t *testing.T) {
	s := &synthetic{size: 3}
	entries := [][]byte{bytes.Repeat([]byte("g"), 65535), []byte(""), []byte("x")}
	big := &sized{synthetic: s, entries: entries}
	s.tree = merkle.NewTree([]merkle.Digest{merkle.LeafHash(entries[0]), merkle.LeafHash(entries[1]), merkle.LeafHash(entries[2])})
	n := apitest.NewNode(t, apitest.Options{Chain: func(c api.Chain) api.Chain { s.Chain = c; return big }})
	got := bundle(t, get(t, n, "/tlog/tile/entries/000.p/3"))
	if len(got) != 3 || !bytes.Equal(got[0], entries[0]) || len(got[1]) != 0 || string(got[2]) != "x" {
		t.Errorf("%d entries", len(got))
	}
	big.entries[0] = append(big.entries[0], 'g')
	s.tree = merkle.NewTree([]merkle.Digest{merkle.LeafHash(big.entries[0]), merkle.LeafHash(entries[1]), merkle.LeafHash(entries[2])})
	if resp, body := call(t, n, "GET", "/tlog/tile/entries/000.p/3", nil); problemOf(t, resp, body).Code != "tampered" {
		t.Errorf("an entry of 65536 bytes: %s", body)
	}
}

type sized struct {
	*synthetic
	entries [][]byte
}

func (s *sized) Entry(index uint64) ([]byte, error) { return s.entries[index], nil }

// BenchmarkTile is what a reader costs the node.
func BenchmarkTile(b *testing.B) {
	n := apitest.NewNode(b, apitest.Options{})
	n.Ledger.Grow(b, 256)
	n.Ledger.Seal()
	for _, path := range []string{"/tlog/tile/0/000", "/tlog/tile/entries/000", "/tlog/checkpoint"} {
		b.Run(path[len("/tlog/"):], func(b *testing.B) {
			for b.Loop() {
				req, err := http.NewRequestWithContext(b.Context(), "GET", n.HTTP.URL+path, nil)
				if err != nil {
					b.Fatal(err)
				}
				if err := n.ReadAs(req); err != nil {
					b.Fatal(err)
				}
				w := &discard{header: http.Header{}}
				n.Server.ServeHTTP(w, req)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
