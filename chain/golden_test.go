package chain

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"qifeng/evidence"
	"qifeng/proof/merkle"
)

var update = flag.Bool("update", false, "sign the golden blocks anew and pin what they give")

const goldenPath = "testdata/golden.json"

// golden is a short chain whose bytes are kept, because SM2 signatures are
// random: a change of any AppHash here breaks every running chain.
type golden struct {
	Genesis string        `json:"genesis"`
	AppHash string        `json:"app_hash"` // of the genesis
	Doc     string        `json:"doc"`      // digest of CometBFT's genesis document
	Blocks  []goldenBlock `json:"blocks"`
}

type goldenBlock struct {
	Txs     []string `json:"txs"`
	Codes   []uint32 `json:"codes"`
	Size    uint64   `json:"size"`
	AppHash string   `json:"app_hash"`
}

func readGolden(tb testing.TB) (*golden, *consortium) {
	tb.Helper()
	var g golden
	if err := json.Unmarshal(must[[]byte](tb)(os.ReadFile(goldenPath)), &g); err != nil {
		tb.Fatal(err)
	}
	return &g, must[*consortium](tb)(newConsortium([]byte(g.Genesis)))
}

func newGolden(t *testing.T) *golden {
	f := newFixture(t)
	g := &golden{Genesis: string(f.raw)}
	for _, txs := range [][][]byte{
		{},
		{f.batch("vendor-a", 1, nil)},
		{f.register("vendor-a", "clerk"), f.batch("vendor-a", 2, nil), f.register("court-a", "registry")},
		{f.batch("vendor-a", 2, nil), []byte("junk"), f.batch("court-a", 7, nil)},
		{},
		{f.revoke("vendor-a", "clerk"), f.batch("notary-a", 1, func(b *evidence.Batch) {
			b.RegistrySize = 5
			b.Streams[evidence.Signing] = evidence.StreamRoot{Count: 3, Root: merkle.LeafHash([]byte("x"))}
		})},
		{f.register("vendor-a", "clerk")},
	} {
		b := goldenBlock{Txs: []string{}}
		for _, tx := range txs {
			b.Txs = append(b.Txs, string(tx))
		}
		g.Blocks = append(g.Blocks, b)
	}
	return g
}

func docDigest(tb testing.TB, c *consortium) string {
	doc := c.genesisDoc()
	if err := doc.ValidateAndComplete(); err != nil {
		tb.Fatal(err)
	}
	raw := must[[]byte](tb)(json.Marshal(doc))
	sum := pair(merkle.Sum(raw))
	return hex.EncodeToString(sum[:32])
}

// goldenNode is an app over a folder, without keys or network.
type goldenNode struct {
	app   *app
	store *store
}

func openGolden(tb testing.TB, c *consortium, dir string) *goldenNode {
	tb.Helper()
	s, st, err := openStore(dir, c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.close() })
	return &goldenNode{app: newApp(c, s, st, quiet()), store: s}
}

// run executes golden blocks from the node's height on, without the last commit
// if keep is false.
func (n *goldenNode) run(tb testing.TB, g *golden, to int, keep bool) (hashes []string, codes [][]uint32) {
	tb.Helper()
	for h := int(n.app.state().height); h < to; h++ {
		var txs [][]byte
		for _, tx := range g.Blocks[h].Txs {
			txs = append(txs, []byte(tx))
		}
		res, err := n.app.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{Height: int64(h + 1), Time: time.Unix(int64(h), 0), Txs: txs})
		if err != nil {
			tb.Fatal(err)
		}
		c := []uint32{}
		for _, r := range res.TxResults {
			c = append(c, r.Code)
		}
		hashes, codes = append(hashes, hex.EncodeToString(res.AppHash)), append(codes, c)
		if h == to-1 && !keep {
			return hashes, codes
		}
		if _, err := n.app.Commit(context.Background(), &abci.RequestCommit{}); err != nil {
			tb.Fatal(err)
		}
	}
	return hashes, codes
}

func TestGolden(t *testing.T) {
	if *update {
		g := newGolden(t)
		c := must[*consortium](t)(newConsortium([]byte(g.Genesis)))
		n := openGolden(t, c, t.TempDir())
		first := n.app.state().appHash
		g.AppHash, g.Doc = hex.EncodeToString(first[:]), docDigest(t, c)
		for i := range g.Blocks {
			hashes, codes := n.run(t, g, i+1, true)
			g.Blocks[i].AppHash, g.Blocks[i].Codes, g.Blocks[i].Size = hashes[0], codes[0], n.app.state().size
		}
		if err := os.MkdirAll(filepath.Dir(goldenPath), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenPath, append(must[[]byte](t)(json.MarshalIndent(g, "", " ")), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g, c := readGolden(t)
	if got := docDigest(t, c); got != g.Doc {
		t.Errorf("CometBFT's genesis document changed: SM3 %s, pinned %s", got, g.Doc)
	}
	first := genesisState(c).appHash
	if got := hex.EncodeToString(first[:]); got != g.AppHash {
		t.Errorf("AppHash of the genesis is %s, pinned %s", got, g.AppHash)
	}
	// Two apps, and one that is closed after every block and once without the
	// commit of the block that it then executes again.
	one, two := openGolden(t, c, t.TempDir()), openGolden(t, c, t.TempDir())
	dir := t.TempDir()
	for i, b := range g.Blocks {
		again := openGolden(t, c, dir)
		again.run(t, g, i+1, false)
		_ = again.store.close()
		again = openGolden(t, c, dir)
		if h := again.app.state().height; h != int64(i) {
			t.Fatalf("height %d after a close without the commit of height %d", h, i+1)
		}
		for name, n := range map[string]*goldenNode{"one": one, "two": two, "replay": again} {
			hashes, codes := n.run(t, g, i+1, true)
			if hashes[0] != b.AppHash || fmt.Sprint(codes[0]) != fmt.Sprint(b.Codes) || n.app.state().size != b.Size {
				t.Errorf("height %d at %s: AppHash %s codes %v size %d, pinned %s %v %d", i+1, name, hashes[0], codes[0], n.app.state().size, b.AppHash, b.Codes, b.Size)
			}
			info := must[*abci.ResponseInfo](t)(n.app.Info(t.Context(), &abci.RequestInfo{}))
			if info.LastBlockHeight != int64(i+1) || hex.EncodeToString(info.LastBlockAppHash) != b.AppHash {
				t.Errorf("Info at %s: %d %x", name, info.LastBlockHeight, info.LastBlockAppHash)
			}
		}
		_ = again.store.close()
	}
	if g.Blocks[4].AppHash != g.Blocks[3].AppHash || g.Blocks[0].AppHash != g.AppHash {
		t.Error("an empty block changed the AppHash: blocks would never end")
	}
}
