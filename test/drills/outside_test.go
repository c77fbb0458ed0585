package drills

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	protobuf "google.golang.org/protobuf/proto"

	"qifeng/anchor/anchortest"
	"qifeng/api/client"
	"qifeng/api/wire"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
	"qifeng/test/fabricnet"
	"qifeng/test/testnet"
	"qifeng/test/tsa"
	"qifeng/test/witness"
)

// Names of the anchors, in the order of their kinds in proof files.
const (
	justice = "justice" // Fabric
	stamps  = "stamps"  // RFC 3161
	lite    = "lite"    // C2SP witness
)

var anchorNames = []string{justice, stamps, lite}

// attempt is the deadline of one attempt.
const attempt = 15 * time.Second

// outside is what anchors reach: a Fabric network, a time-stamp authority and a
// witness, each the real one, and the way of each member to each of them.
type outside struct {
	*network
	every  time.Duration
	policy *checkpoint.Policy
	fabric *fabricnet.Net
	tsa    *tsa.Authority
	lite   *witness.Lite
	ways   map[string]map[string]*anchortest.Proxy // by member and anchor
	bare   map[string][]byte                       // a member's configuration without anchors
	full   map[string][]byte                       // and with them
}

// newOutside starts them for a network that runs.
func newOutside(n *network, every time.Duration) *outside {
	n.t.Helper()
	text := testnet.Read(n.t, filepath.Join(n.Home(steady), "policy.txt"))
	policy, err := checkpoint.ParsePolicy(text)
	if err != nil {
		n.t.Fatal(err)
	}
	o := &outside{network: n, every: every, policy: policy, ways: map[string]map[string]*anchortest.Proxy{}, bare: map[string][]byte{}, full: map[string][]byte{}}
	o.fabric = fabricnet.Start(n.t, fabricnet.Options{LowS: true, Policies: map[string][]byte{policy.Chain: text},
		Writers: map[string][]string{checkpoint.Origin(policy.Chain): {"Org1MSP", "Org2MSP"}}})
	o.tsa = tsa.Start(n.t, tsa.Config{Alg: tsa.ECDSA})
	o.lite = witness.Start(n.t, "witness.example/drill", policy.WitnessLogKeys(&policy.Epochs[0])...)
	return o
}

// sdkdriver is the program for networks without a gateway service.
var sdkdriver = &testnet.Build{Name: "sdkdriver", Package: "qifeng/anchor/fabric/sdkdriver"}

// give configures a member's anchors, by way of proxies of its own, makes its
// anchor roots, and starts it again. driver is the one of its Fabric anchor.
func (o *outside) give(member string, org *fabricnet.Organisation, driver string) {
	o.t.Helper()
	host := func(text string) string {
		u, err := url.Parse(text)
		if err != nil {
			o.t.Fatal(err)
		}
		return u.Host
	}
	ways := map[string]*anchortest.Proxy{
		justice: anchortest.NewProxy(o.t, org.Peer.Endpoint),
		stamps:  anchortest.NewProxy(o.t, host(o.tsa.URL)),
		lite:    anchortest.NewProxy(o.t, host(o.lite.URL)),
	}
	o.ways[member] = ways
	home := o.Home(member)
	o.write(filepath.Join(home, "fabric-key.pem"), testnet.Read(o.t, org.User.Key))
	o.write(filepath.Join(home, "tsa-roots.pem"), o.tsa.RootPEM())
	table := func(name, kind string, fields ...string) string {
		out := fmt.Sprintf("\n[anchor.%s]\nkind = %q\nevery = %q\ntimeout = %q\n", name, kind, o.every, attempt)
		for i := 0; i < len(fields); i += 2 {
			out += fmt.Sprintf("%s = %q\n", fields[i], fields[i+1])
		}
		return out
	}
	channel := []string{"driver", driver, "msp", org.MSP, "cert", org.User.Certificate, "key", "fabric-key.pem", "channel", o.fabric.Channel, "chaincode", o.fabric.Chaincode}
	if driver == "sdk" {
		channel = append(channel, "sdk_program", sdkdriver.Path(o.t), "sdk_config", org.Profile(o.t, ways[justice].Addr))
	} else {
		channel = append(channel, "endpoint", ways[justice].Addr, "tls_ca", org.Peer.TLSCA, "tls_name", org.Peer.TLSName)
	}
	o.bare[member] = testnet.Read(o.t, filepath.Join(home, "qifeng.toml"))
	o.full[member] = fmt.Appendf(nil, "%s%s%s%s", o.bare[member],
		table(justice, "fabric", channel...),
		table(stamps, "rfc3161", "url", "http://"+ways[stamps].Addr+"/tsa", "hash", o.tsa.Hash(), "roots", "tsa-roots.pem"),
		table(lite, "witness", "url", "http://"+ways[lite].Addr, "key", o.lite.Key.String()))
	o.use(member, o.full[member], func() { testnet.Must(o.t, 0, "anchor", "roots", "--home", home) })
}

// use starts a member again with another configuration, after what is to be done
// meanwhile.
func (o *outside) use(member string, config []byte, meanwhile func()) {
	o.t.Helper()
	o.stop(member)
	o.write(filepath.Join(o.Home(member), "qifeng.toml"), config)
	if meanwhile != nil {
		meanwhile()
	}
	o.start(member, plain)
	o.ready(member)
}

func (o *outside) write(path string, b []byte) {
	o.t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// anchors is what a member says of its anchors, by name.
func (o *outside) anchors(member string) (map[string]wire.AnchorStatus, error) {
	st, err := o.status(member)
	if err != nil {
		return nil, err
	}
	out := map[string]wire.AnchorStatus{}
	for _, x := range st.Anchors {
		out[x.Name] = x
	}
	return out, nil
}

// sealed is how far the ledger is sealed, as a member says.
func (o *outside) sealed(member string) uint64 {
	o.t.Helper()
	st, err := o.status(member)
	if err != nil {
		o.t.Fatal(err)
	}
	return st.Ledger.SealedSize
}

// covers waits until an anchor of each member holds a size.
func (o *outside) covers(limit time.Duration, size uint64, name string, of ...string) time.Duration {
	o.t.Helper()
	began := time.Now()
	o.eventually(limit, fmt.Sprintf("%s holds size %d for %v", name, size, of), func() error {
		for _, m := range of {
			list, err := o.anchors(m)
			if err != nil {
				return err
			}
			if x := list[name]; x.Size < size {
				return fmt.Errorf("%s: size %d, pending %d, attempt %d: %s", m, x.Size, x.Pending, x.Attempts, x.Error)
			}
		}
		return nil
	})
	return time.Since(began)
}

// cut resets the members' connections to a service in the middle of an answer, the
// next time that there is one.
func (o *outside) cut(name string, after int64) {
	for _, ways := range o.ways {
		ways[name].CutAfter(after)
	}
}

// roots are a member's own anchor roots.
func (o *outside) roots(member string) *proof.AnchorRoots {
	o.t.Helper()
	r, err := proof.ParseAnchorRoots(testnet.Read(o.t, filepath.Join(o.Home(member), "anchor-roots.json")))
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}

// held is a receipt as a node gives it out.
type held struct {
	size uint64
	sum  merkle.Digest // of note and receipt
}

// receipts walks through all receipts of a member. They rise strictly: each is
// found as the first one over the size before it.
func (o *outside) receipts(member string) map[string][]held {
	o.t.Helper()
	c, err := client.New("http://"+o.APIs[member], client.Options{Attempts: 5, Timeout: 20 * time.Second})
	if err != nil {
		o.t.Fatal(err)
	}
	out := map[string][]held{}
	sealed := o.sealed(member)
	for from := uint64(1); from <= sealed; {
		file, err := c.Anchors(o.t.Context(), from)
		if client.HasCode(err, "not-found") {
			break // none covers this yet
		}
		if err != nil {
			o.t.Fatalf("the receipts of %s from %d: %v", member, from, err)
		}
		next := sealed + 1
		for _, x := range file.Anchors {
			size := noteSize(o.t, x.Checkpoint)
			list := out[x.Name]
			if len(list) == 0 || list[len(list)-1].size < size {
				out[x.Name] = append(list, held{size, merkle.Sum(append(bytes.Clone(x.Checkpoint), x.Receipt...))})
			}
			next = min(next, size+1)
		}
		from = next
	}
	return out
}

func noteSize(t *testing.T, note []byte) uint64 {
	t.Helper()
	lines := strings.SplitN(string(note), "\n", 3)
	if len(lines) < 3 {
		t.Fatalf("no note: %q", note)
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// puts are the sizes of the valid transactions of the channel that put a
// checkpoint of this chain, in the order of the blocks.
func (o *outside) puts() (sizes []uint64, invalid int) {
	o.t.Helper()
	qscc := o.fabric.Org1().Network(o.t).GetContract("qscc")
	ask := func(out protobuf.Message, args ...string) {
		o.t.Helper()
		b, err := qscc.EvaluateTransaction(args[0], args[1:]...)
		if err == nil {
			err = protobuf.Unmarshal(b, out)
		}
		if err != nil {
			o.t.Fatalf("%v: %v", args, err)
		}
	}
	var info common.BlockchainInfo
	ask(&info, "GetChainInfo", o.fabric.Channel)
	origin := []byte(checkpoint.Origin(o.policy.Chain) + "\n")
	for number := range info.Height {
		var block common.Block
		ask(&block, "GetBlockByNumber", o.fabric.Channel, strconv.FormatUint(number, 10))
		codes := block.Metadata.Metadata[common.BlockMetadataIndex_TRANSACTIONS_FILTER]
		for i, envelope := range block.Data.Data {
			_, rest, found := bytes.Cut(envelope, origin)
			switch {
			case found && codes[i] == 0:
				sizes = append(sizes, noteSize(o.t, append(bytes.Clone(origin), rest...)))
			case found:
				invalid++
			}
		}
	}
	return sizes, invalid
}

// duration reads a duration out of the environment.
func duration(t *testing.T, variable string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("not a positive duration")
	}
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return d
}
