package fabricnet

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Options of a network.
type Options struct {
	BFT      bool                // four SmartBFT orderers instead of one raft orderer
	LowS     bool                // CA certificates with low-S signatures only, as fabric-sdk-go wants them
	HighS    bool                // at least one CA certificate with a high-S signature
	Policies map[string][]byte   // trust policy of each chain id, for every organisation's chaincode
	Writers  map[string][]string // MSP ids that may write, by origin
}

// Net is a network that runs. The fields are those of net.json; all paths are
// absolute.
type Net struct {
	Version       string
	Consensus     string // "raft" or "bft"
	Dir           string
	Channel       string
	Chaincode     string
	GenesisBlock  string `json:"genesis_block"` // file: the channel's first configuration block
	OrdererMSP    string `json:"orderer_msp"`
	OrdererCA     string `json:"orderer_ca"` // certificate of the MSP's root
	Orderers      []Orderer
	Organisations []Organisation
}

// Orderer is one process of the ordering service.
type Orderer struct {
	Name        string // of the process
	ID          uint64 // as a consenter
	Endpoint    string // host:port
	TLSCA       string `json:"tls_ca"`
	TLSName     string `json:"tls_name"`
	Certificate string // with which it signs blocks
}

// Organisation is a member of the channel.
type Organisation struct {
	Name        string
	MSP         string
	CA          string // certificate of the MSP's root
	MSPDir      string `json:"msp_dir"`
	Policies    string // folder of its chaincode's trust policies
	Writers     string // its chaincode's writers file
	Package     string // package id of its chaincode
	Chaincode   string // name of the process
	Peer        Peer
	User, Admin Identity

	net *Net
}

// Peer is an organisation's peer.
type Peer struct {
	Name        string // of the process
	Endpoint    string // host:port
	TLSCA       string `json:"tls_ca"`
	TLSName     string `json:"tls_name"`
	Certificate string // with which it endorses
}

// Identity is a client of an organisation.
type Identity struct {
	Certificate string
	Key         string
	MSPDir      string `json:"msp_dir"`
}

// Start starts a network, and waits until calls are endorsed.
func Start(t testing.TB, o Options) *Net {
	t.Helper()
	Require(t)
	dir, err := os.MkdirTemp("", "qifeng-fabric-test-") // short: t.TempDir holds the test's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	net := filepath.Join(dir, "net")
	args := []string{"up", "--owner", strconv.Itoa(os.Getpid()), "--policies", filepath.Join(dir, "policies"), "--writers", filepath.Join(dir, "writers.txt")}
	for _, f := range []struct {
		set  bool
		flag string
	}{{o.BFT, "--bft"}, {o.LowS, "--low-s"}, {o.HighS, "--high-s"}} {
		if f.set {
			args = append(args, f.flag)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "policies"), 0o755); err != nil {
		t.Fatal(err)
	}
	for chain, text := range o.Policies {
		write(t, filepath.Join(dir, "policies", chain+".txt"), text)
	}
	write(t, filepath.Join(dir, "writers.txt"), writersText(o.Writers))
	t.Cleanup(func() {
		if t.Failed() {
			logs(t, net)
		}
		if _, err := script(net, "down"); err != nil {
			t.Error(err)
		}
	})
	if _, err := script(net, args...); err != nil {
		t.Fatal(err)
	}
	n := &Net{}
	facts, err := os.ReadFile(filepath.Join(net, "net.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(facts, n); err != nil {
		t.Fatalf("net.json: %v", err)
	}
	for i := range n.Organisations {
		n.Organisations[i].net = n
	}
	n.Ready(t)
	return n
}

var programs = sync.OnceValues(func() (string, error) {
	out, err := script("/nonexistent", "build")
	return strings.TrimSpace(out), err
})

// Require skips the test, loudly, where Fabric's programs cannot be had; it
// returns the folder that they are in.
func Require(t testing.TB) string {
	t.Helper()
	if os.Getenv("QIFENG_SKIP_FABRIC") == "1" {
		skip(t, "QIFENG_SKIP_FABRIC=1")
	}
	dir, err := programs()
	if err != nil && os.Getenv("QIFENG_NEED_FABRIC") == "1" {
		t.Fatal(err)
	}
	if err != nil {
		skip(t, fmt.Sprintf("Hyperledger Fabric cannot be built here: %v", err))
	}
	return dir
}

func skip(t testing.TB, why string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "SKIPPED: %s: %s\n", t.Name(), why)
	t.Skip("SKIPPED: " + why)
}

// Org1 and Org2 are the two organisations.
func (n *Net) Org1() *Organisation { return &n.Organisations[0] }

// Org2 is the second organisation.
func (n *Net) Org2() *Organisation { return &n.Organisations[1] }

// Start starts a process that was stopped, by its name, and waits until it is healthy.
func (n *Net) Start(t testing.TB, process string) { t.Helper(); n.do(t, "start", process) }

// Stop asks a process to end, and waits for it.
func (n *Net) Stop(t testing.TB, process string) { t.Helper(); n.do(t, "stop", process) }

// Kill ends a process as kill -9 does.
func (n *Net) Kill(t testing.TB, process string) { t.Helper(); n.do(t, "kill", process) }

// Pause lets a process hang: connections stay open and nothing answers.
func (n *Net) Pause(t testing.TB, process string) { t.Helper(); n.do(t, "pause", process) }

// Resume lets it go on.
func (n *Net) Resume(t testing.TB, process string) { t.Helper(); n.do(t, "resume", process) }

// StopAll stops every process; the data stays.
func (n *Net) StopAll(t testing.TB) { t.Helper(); n.do(t, "stop") }

// StartAll starts every process that does not run.
func (n *Net) StartAll(t testing.TB) { t.Helper(); n.do(t, "start") }

func (n *Net) do(t testing.TB, args ...string) {
	t.Helper()
	if _, err := script(n.Dir, args...); err != nil {
		t.Fatal(err)
	}
}

// Log is what a process has said.
func (n *Net) Log(t testing.TB, process string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(n.Dir, "log", process+".log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// SetPolicy replaces the policy file of a chain at an organisation's chaincode, at
// once and whole.
func (o *Organisation) SetPolicy(t testing.TB, chain string, text []byte) {
	t.Helper()
	replace(t, filepath.Join(o.Policies, chain+".txt"), text)
}

// SetWriters replaces an organisation's writers file.
func (o *Organisation) SetWriters(t testing.TB, w map[string][]string) {
	t.Helper()
	replace(t, o.Writers, writersText(w))
}

func writersText(w map[string][]string) []byte {
	lines := []string{}
	for origin, msps := range w {
		lines = append(lines, origin+" "+strings.Join(msps, " "))
	}
	slices.Sort(lines)
	return []byte(strings.Join(append([]string{"qifeng-writers/v1"}, lines...), "\n") + "\n")
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func replace(t testing.TB, path string, b []byte) {
	t.Helper()
	write(t, path+".new", b)
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// script runs scripts/fabric-net.sh; its error holds what the script said.
func script(dir string, args ...string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "..", "..", "scripts", "fabric-net.sh")
	if !filepath.IsAbs(path) { // built with -trimpath
		path = filepath.Join("..", "..", "scripts", "fabric-net.sh")
	}
	var out, said strings.Builder
	cmd := exec.Command(path, append(args, "--dir", dir)...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("fabric-net.sh %s: %w\n%s", args[0], err, said.String())
	}
	return out.String(), nil
}

// logs shows the end of every process's log.
func logs(t testing.TB, dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "log", "[opc]*[0-9].log"))
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		lines = lines[max(0, len(lines)-8):]
		for i, l := range lines {
			lines[i] = l[:min(len(l), 300)] // some hold a whole stack
		}
		t.Logf("end of %s:\n%s", filepath.Base(f), strings.Join(lines, "\n"))
	}
}
