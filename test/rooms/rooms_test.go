// Package rooms holds the rules of docs/design.md on who may import whom, and
// the test that enforces them on direct imports, tests excepted. A room that
// reaches up, or a heavy library outside its one wrapper, is found here and not
// in a review.
package rooms

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// ranks orders the rooms: a package imports only packages of a lower rank.
// Rooms of one rank do not know each other.
var ranks = map[string]int{
	"internal/gm/sm3lanes": -1, "internal/gm/sm2public": -1, "internal/durable": -1, "internal/fault": -1,
	"internal/gm":                0,
	"internal/gm/frequent":       1,
	"proof/merkle":               1,
	"proof/checkpoint":           2,
	"evidence/canon":             3,
	"evidence":                   4,
	"proof/fabric/internal/wire": 3,
	"proof/timestamp":            4, "proof/fabric": 4,
	"proof":        5,
	"archive/runs": 5,
	"archive":      6, "chain": 6, "genesis": 6, "fsck": 6,
	"anchor":   6,
	"api/wire": 7, "api/httpsig": 7, "backup": 7,
	"anchor/fabric/sdkwire": 6,
	"anchor/tsa":            7, "anchor/witness": 7, "anchor/fabric": 7, "anchor/fabric/chaincode": 7, "anchor/fabric/sdkdriver": 7,
	"api/client": 8, "api": 8,
	"api/monitor": 9, "bench": 9,
	"node": 10,
	"":     11, // main.go
}

// onlyIn says which packages may import a library, and why nobody else.
var onlyIn = []struct {
	prefix string
	rooms  []string
	why    string
}{
	{"github.com/cometbft/", []string{"chain", "fsck"}, "CometBFT's types stay in one room, so that the engine can be replaced; fsck reads its stores"},
	{"github.com/cosmos/", []string{"chain"}, "protobuf is CometBFT's, not ours"},
	{"github.com/syndtr/goleveldb", []string{"archive", "chain", "anchor", "fsck"}, "only the rooms that own files on disk open a database; fsck reads them"},
	{"github.com/emmansun/gmsm", []string{"internal/gm", "proof/timestamp"}, "one room decides what an SM2 signature is; time-stamp tokens are read with its certificates"},
	{"github.com/tjfoc/gmsm", []string{"internal/gm"}, "the second opinion is asked for in one place"},
	{"github.com/hyperledger/fabric-gateway", []string{"anchor/fabric"}, "Fabric stays behind its driver"},
	{"github.com/hyperledger/fabric-protos-go-apiv2", []string{"anchor/fabric", "anchor/fabric/chaincode"}, "Fabric stays behind its driver; the verifier has no gRPC"},
	{"github.com/hyperledger/fabric-chaincode-go", []string{"anchor/fabric/chaincode"}, "what runs in Fabric is a program of its own"},
	{"github.com/hyperledger/fabric-sdk-go", []string{"anchor/fabric/sdkdriver"}, "it cannot share a program with fabric-gateway: both register the same messages"},
	{"google.golang.org/grpc", []string{"anchor/fabric", "anchor/fabric/chaincode"}, "Fabric stays behind its driver"},
	{"github.com/dunglas/httpsfv", []string{"api/httpsig"}, "one room reads structured fields and holds what the parser panics on"},
	{"github.com/gin-gonic/", []string{"api"}, "HTTP routing is the API's"},
	{"github.com/spf13/cobra", []string{"node"}, "the command line is the node's"},
	{"github.com/valyala/fasthttp", []string{"bench"}, "the lean client is the load generator's; what serves and submits in earnest is net/http"},
	{"github.com/HdrHistogram/", []string{"bench"}, "latencies are the load generator's"},
	{"github.com/prometheus/", []string{"node"}, "the other rooms tell of numbers by hooks of their own; one room decides what a metric is"},
	{"filippo.io/torchwood", nil, "it is the stock tool that tests hold our exports against; it pulls in net/http"},
	{"golang.org/x/mod", []string{"anchor/witness"}, "tests compare with it; a witness of foreign logs checks their SHA-256 trees with it"},
	{"github.com/digitorus/", nil, "it is the second reader of time-stamp tokens, for tests"},
	{"github.com/santhosh-tekuri/jsonschema", nil, "it is the validator that tests hold answers with against openapi.json"},
	{"github.com/gowebpki/jcs", nil, "it is the second implementation that tests compare with"},
}

// noIO are the packages that a court's offline verifier is made of: they build
// for WASM and cannot reach a file, a socket or a process.
var noIO = []string{"proof/merkle", "proof/checkpoint", "evidence/canon", "evidence", "proof/timestamp", "proof/fabric", "proof"}

var ioPackages = []string{"os", "os/exec", "io/fs", "io/ioutil", "net", "net/http", "syscall", "database/sql", "log", "log/slog", "embed", "plugin"}

func TestDirections(t *testing.T) {
	seen := map[string]bool{}
	for file, imports := range sources(t) {
		room := filepath.ToSlash(filepath.Dir(file))
		if room == "." {
			room = ""
		}
		if strings.HasPrefix(room, "test/") || strings.HasSuffix(room, "test") {
			continue // helpers of tests
		}
		rank, known := ranks[room]
		if !known {
			t.Errorf("%s: package %q has no rank here; place it in docs/design.md and in this table", file, room)
			continue
		}
		seen[room] = true
		for _, path := range imports {
			checkImport(t, file, room, rank, path)
		}
	}
	for room := range ranks {
		if !seen[room] {
			t.Errorf("the table names %q, which has no source", room)
		}
	}
}

func checkImport(t *testing.T, file, room string, rank int, path string) {
	if inner, ours := strings.CutPrefix(path, "qifeng/"); ours {
		if other, known := ranks[inner]; !known || other >= rank {
			t.Errorf("%s imports %s: rooms import only rooms before them (gm, merkle, checkpoint, evidence, proof, archive|chain|genesis, api, node)", file, path)
		}
	}
	if slices.Contains(noIO, room) && slices.Contains(ioPackages, path) {
		t.Errorf("%s imports %s: the verifier does no I/O", file, path)
	}
	for _, rule := range onlyIn {
		if strings.HasPrefix(path, rule.prefix) && !slices.Contains(rule.rooms, room) {
			t.Errorf("%s imports %s: %s", file, path, rule.why)
		}
	}
}

// sources returns the imports of every Go file of the module that is no test.
func sources(t *testing.T) map[string][]string {
	out := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "devnet") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		out[rel] = []string{}
		for _, spec := range f.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			out[rel] = append(out[rel], p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Fatalf("only %d source files found: the test tests nothing", len(out))
	}
	return out
}
