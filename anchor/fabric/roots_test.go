package fabric

import (
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer/lifecycle"
	"google.golang.org/protobuf/proto"

	"qifeng/proof/fabric/fabrictest"
)

// settings are a channel's configuration in the making.
type settings struct {
	c         *fabrictest.Channel
	orgs      []*msp.FabricMSPConfig
	types     []int32 // of the MSPs
	orderer   *msp.FabricMSPConfig
	consensus string
	policies  map[string]*common.Policy
	chaincode *peer.ApplicationPolicy
	old       *common.SignaturePolicyEnvelope // in a definition of Fabric 1
}

func newSettings(t testing.TB, bft bool) *settings {
	c := fabrictest.New(t, bft)
	s := &settings{c: c, orderer: mspConfig(c.OrdererCA), consensus: "etcdraft", types: make([]int32, 3),
		chaincode: &peer.ApplicationPolicy{Type: &peer.ApplicationPolicy_ChannelConfigPolicyReference{ChannelConfigPolicyReference: "/Channel/Application/Endorsement"}},
		policies:  map[string]*common.Policy{"Endorsement": meta(common.ImplicitMetaPolicy_MAJORITY)}}
	if bft {
		s.consensus = "BFT"
	}
	for _, ca := range c.CAs {
		s.orgs = append(s.orgs, mspConfig(ca))
	}
	return s
}

func mspConfig(ca *fabrictest.CA) *msp.FabricMSPConfig {
	ou := func(role string) *msp.FabricOUIdentifier {
		return &msp.FabricOUIdentifier{OrganizationalUnitIdentifier: role}
	}
	return &msp.FabricMSPConfig{Name: ca.MSP, RootCerts: [][]byte{pemOf(ca.DER())},
		CryptoConfig: &msp.FabricCryptoConfig{SignatureHashFamily: "SHA2"},
		FabricNodeOus: &msp.FabricNodeOUs{Enable: true, ClientOuIdentifier: ou("client"), PeerOuIdentifier: ou("peer"),
			AdminOuIdentifier: ou("admin"), OrdererOuIdentifier: ou("orderer")}}
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func meta(rule common.ImplicitMetaPolicy_Rule) *common.Policy {
	return &common.Policy{Type: int32(common.Policy_IMPLICIT_META), Value: must(&common.ImplicitMetaPolicy{SubPolicy: "Endorsement", Rule: rule})}
}

func must(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// block is the configuration as a peer answers with it.
func (s *settings) block() []byte {
	group := func(m *msp.FabricMSPConfig, kind int32) *common.ConfigGroup {
		return &common.ConfigGroup{Values: map[string]*common.ConfigValue{"MSP": {Value: must(&msp.MSPConfig{Type: kind, Config: must(m)})}}}
	}
	app := &common.ConfigGroup{Groups: map[string]*common.ConfigGroup{}, Policies: map[string]*common.ConfigPolicy{}}
	for i, m := range s.orgs {
		app.Groups[fmt.Sprint("org", i)] = group(m, s.types[i])
	}
	for name, p := range s.policies {
		app.Policies[name] = &common.ConfigPolicy{Policy: p}
	}
	list := &common.Orderers{}
	for i, o := range s.c.Orderers {
		list.ConsenterMapping = append(list.ConsenterMapping, &common.Consenter{Id: uint32(i + 1), MspId: "OrdererMSP", Identity: pemOf(o.Cert.Raw)})
	}
	ord := &common.ConfigGroup{Groups: map[string]*common.ConfigGroup{"o": group(s.orderer, 0)}, Values: map[string]*common.ConfigValue{
		"ConsensusType": {Value: must(&orderer.ConsensusType{Type: s.consensus})}, "Orderers": {Value: must(list)}}}
	root := &common.ConfigGroup{Groups: map[string]*common.ConfigGroup{"Application": app, "Orderer": ord}}
	payload := must(&common.Payload{Data: must(&common.ConfigEnvelope{Config: &common.Config{ChannelGroup: root}})})
	return must(&common.Block{Data: &common.BlockData{Data: [][]byte{must(&common.Envelope{Payload: payload})}}})
}

// network answers with the configuration and the definition.
func (s *settings) network(t *testing.T) Network {
	f, _ := newFake(t)
	f.evaluate = func(chaincode string, args []string) ([]byte, error) {
		switch chaincode + " " + args[0] {
		case "cscc GetConfigBlock":
			return s.block(), nil
		case "lscc getccdata":
			if s.old == nil {
				return nil, errors.New("no such chaincode")
			}
			return must(&peer.ChaincodeData{Policy: s.old}), nil
		case "_lifecycle QueryChaincodeDefinition":
			if s.chaincode == nil {
				return nil, &Rejection{Messages: []string{"namespace anchor is not defined"}}
			}
			return must(&lifecycle.QueryChaincodeDefinitionResult{ValidationParameter: must(s.chaincode)}), nil
		}
		return nil, errors.New("not asked for")
	}
	return f
}

// by is a rule that an organisation's peer signs; the principal's number is i.
func by(i int32) *common.SignaturePolicy {
	return &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: i}}
}

func outOf(n int32, rules ...*common.SignaturePolicy) *common.SignaturePolicy {
	return &common.SignaturePolicy{Type: &common.SignaturePolicy_NOutOf_{NOutOf: &common.SignaturePolicy_NOutOf{N: n, Rules: rules}}}
}

func signed(rule *common.SignaturePolicy, msps ...string) *common.SignaturePolicyEnvelope {
	e := &common.SignaturePolicyEnvelope{Rule: rule}
	for _, m := range msps {
		e.Identities = append(e.Identities, &msp.MSPPrincipal{Principal: must(&msp.MSPRole{MspIdentifier: m, Role: msp.MSPRole_PEER})})
	}
	return e
}

func (s *settings) rule(e *common.SignaturePolicyEnvelope) {
	s.chaincode = &peer.ApplicationPolicy{Type: &peer.ApplicationPolicy_SignaturePolicy{SignaturePolicy: e}}
}

func (s *settings) refer(name string, p *common.Policy) {
	s.chaincode = &peer.ApplicationPolicy{Type: &peer.ApplicationPolicy_ChannelConfigPolicyReference{ChannelConfigPolicyReference: name}}
	if p != nil {
		s.policies["Own"] = p
	}
}

func TestRoots(t *testing.T) {
	three := []string{"Org1MSP", "Org2MSP", "Org3MSP"}
	cases := []struct {
		name  string
		bend  func(s *settings)
		count int    // of endorsements; 0: an error
		says  string // in the error, or in a note
	}{
		{"majority", func(*settings) {}, 2, "etcdraft"},
		{"all", func(s *settings) { s.policies["Endorsement"] = meta(common.ImplicitMetaPolicy_ALL) }, 3, ""},
		{"any", func(s *settings) { s.policies["Endorsement"] = meta(common.ImplicitMetaPolicy_ANY) }, 1, "one organisation alone"},
		{"another policy by its short name", func(s *settings) { s.refer("Own", meta(common.ImplicitMetaPolicy_ALL)) }, 3, ""},
		{"a signature policy of the channel", func(s *settings) {
			s.refer("Own", &common.Policy{Type: int32(common.Policy_SIGNATURE), Value: must(signed(outOf(2, by(0), by(1), by(2)), three...))})
		}, 2, ""},
		{"no such policy", func(s *settings) { s.refer("Nothing", nil) }, 0, "no policy"},
		{"a policy elsewhere", func(s *settings) { s.refer("/Channel/Orderer/Writers", nil) }, 0, "only those of"},
		{"two of three", func(s *settings) { s.rule(signed(outOf(2, by(0), by(1), by(2)), three...)) }, 2, ""},
		{"one and another", func(s *settings) { s.rule(signed(outOf(2, by(0), outOf(1, by(1), by(2))), three...)) }, 2, "names organisations"},
		{"two of four", func(s *settings) {
			s.rule(signed(outOf(2, by(0), by(1), by(2), by(3)), "Org1MSP", "Org2MSP", "Org3MSP", "Org4MSP"))
		}, 2, "names organisations"},
		{"two signatures of one organisation", func(s *settings) { s.rule(signed(outOf(2, by(0), by(1)), "Org1MSP", "Org1MSP")) }, 1, "one organisation alone"},
		{"met by nobody", func(s *settings) { s.rule(signed(outOf(0), three...)) }, 0, "nobody's signature"},
		{"never met", func(s *settings) { s.rule(signed(outOf(4, by(0), by(1), by(2)), three...)) }, 0, "never be met"},
		{"unknown principal", func(s *settings) { s.rule(signed(by(7), three...)) }, 0, "never be met"},
		{"nested without end", func(s *settings) {
			r := by(0)
			for range 20 {
				r = outOf(1, r)
			}
			s.rule(signed(r, three...))
		}, 0, "nested"},
		{"a definition of Fabric 1", func(s *settings) {
			s.chaincode, s.old = nil, signed(outOf(3, by(0), by(1), by(2)), three...)
		}, 3, ""},
		{"no definition", func(s *settings) { s.chaincode = nil }, 0, "is not defined"},
		{"no roles", func(s *settings) { s.orgs[1].FabricNodeOus = nil }, 2, "gives its certificates no roles"},
		{"no role for orderers", func(s *settings) { s.orderer.FabricNodeOus.OrdererOuIdentifier = nil }, 2, "gives no role to its orderers"},
		{"another name of a role", func(s *settings) { s.orgs[0].FabricNodeOus.PeerOuIdentifier.OrganizationalUnitIdentifier = "node" }, 0, "usual names"},
		{"another hash", func(s *settings) { s.orgs[0].CryptoConfig.SignatureHashFamily = "SHA3" }, 0, "SHA-256 only"},
		{"revoked certificates", func(s *settings) {
			s.orgs[0].RevocationList = [][]byte{s.c.CAs[0].Revoke(t, s.c.CAs[0].Issue(t, "p", "peer")), s.c.CAs[0].Revoke(t, s.c.CAs[0].Issue(t, "q", "peer"))}
		}, 2, "revoked 2 certificates"},
		{"a list by another's CA", func(s *settings) { s.orgs[0].RevocationList = [][]byte{s.c.CAs[1].Revoke(t)} }, 0, "none of its CAs"},
		{"a list that is none", func(s *settings) { s.orgs[0].RevocationList = [][]byte{{1}} }, 0, "cannot be read"},
		{"restricted to units", func(s *settings) {
			s.orgs[0].OrganizationalUnitIdentifiers = []*msp.FabricOUIdentifier{{OrganizationalUnitIdentifier: "x"}}
		}, 2, "organisational units"},
		{"Idemix", func(s *settings) { s.types[2] = 1 }, 2, "Idemix"},
		{"root is no certificate", func(s *settings) { s.orgs[0].RootCerts[0] = []byte("x") }, 0, "not PEM"},
		{"unknown consensus", func(s *settings) { s.consensus = "votes" }, 0, "not known"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newSettings(t, false)
			c.bend(s)
			got, notes, err := Roots(t.Context(), s.network(t), "fabric", "anchors", "anchor")
			if c.count == 0 {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("got %v, want an error that says %q", err, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, n := range notes {
				said = append(said, n.EN)
				if strings.Contains(n.ZH+n.EN, "%!") || !strings.ContainsFunc(n.ZH, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
					t.Errorf("a note: %q", n)
				}
			}
			if got.Endorsements != c.count || !strings.Contains(strings.Join(said, "\n"), c.says) {
				t.Errorf("%d endorsements, notes %q", got.Endorsements, notes)
			}
		})
	}
	s := newSettings(t, true)
	got, _, err := Roots(t.Context(), s.network(t), "fabric", "anchors", "anchor")
	if err != nil || len(got.Orderers.Consenters) != 4 || got.Orderers.Signatures != 3 {
		t.Errorf("BFT: %+v, %v", got, err)
	}
}

// Whatever a peer answers with, Roots refuses it or pins what can be checked.
func FuzzRoots(f *testing.F) {
	s := newSettings(f, true)
	f.Add(s.block(), must(s.chaincode))
	s.rule(signed(outOf(2, by(0), by(1)), "Org1MSP", "Org2MSP"))
	f.Add(s.block(), must(s.chaincode))
	f.Fuzz(func(t *testing.T, block, parameter []byte) {
		config, err := configOf(block)
		if err != nil {
			return
		}
		_, _, _ = distil(config, parameter, "fabric", "anchors", "anchor")
	})
}
