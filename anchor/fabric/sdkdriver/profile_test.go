package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const twoOrganisations = `
client: {organization: court}
organizations:
  court: {mspid: CourtMSP, peers: [peer0.court]}
  notary: {mspid: NotaryMSP, peers: [peer0.notary, peer1.notary]}
orderers:
  o2.example: {url: "grpcs://o2.example"}
  o1.example: {url: "grpcs://o1.example"}
`

func profileOf(t *testing.T, text, organisation string) (*profile, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "profile.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loadProfile(path, "evidence", organisation)
}

// The own organisation is the profile's, or named by its name or its MSP id.
func TestProfileOrganisation(t *testing.T) {
	for named, want := range map[string]string{"": "court", "court": "court", "CourtMSP": "court", "notary": "notary", "NotaryMSP": "notary"} {
		p, err := profileOf(t, twoOrganisations, named)
		if err != nil {
			t.Errorf("%q: %v", named, err)
		} else if p.organisation != want || p.peers[0] != "peer0."+want {
			t.Errorf("%q is %s with %v, want %s", named, p.organisation, p.peers, want)
		}
	}
}

// What an operator must mend is named.
func TestProfileRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, organisation, says string }{
		"a stranger":       {twoOrganisations, "arbitration", `no organisation "arbitration"`},
		"nobody":           {strings.Replace(twoOrganisations, "organization: court", "", 1), "", `no organisation ""`},
		"no peers":         {strings.Replace(twoOrganisations, ", peers: [peer0.court]", "", 1), "", "no peers of organisation court"},
		"no orderers":      {twoOrganisations[:strings.Index(twoOrganisations, "orderers:")], "", "no orderers"},
		"empty orderers":   {twoOrganisations[:strings.Index(twoOrganisations, "  o2")], "", "no orderers"},
		"no YAML":          {"client: [", "", "yaml"},
		"much too large":   {"#" + strings.Repeat("x", maxProfile), "", "more than"},
		"not a dictionary": {"- one", "", "yaml"},
	} {
		_, err := profileOf(t, c.text, c.organisation)
		if err == nil || !strings.Contains(err.Error(), c.says) || !errors.As(err, new(configError)) {
			t.Errorf("%s: %v, want an error of the configuration that says %q", name, err, c.says)
		}
	}
}

// What the SDK's defaults get wrong is set, and what an operator has set stays.
func TestProfileMended(t *testing.T) {
	type written struct {
		Client struct {
			Peer, Orderer struct{ Timeout struct{ Connection string } }
		}
		Channels map[string]struct {
			Orderers []string
			Policies struct {
				Discovery struct {
					MaxTargets int `yaml:"maxTargets"`
				}
			}
		}
	}
	read := func(text string) (w written) {
		t.Helper()
		p, err := profileOf(t, text, "")
		if err == nil {
			err = yaml.Unmarshal(p.text, &w)
		}
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	w := read(twoOrganisations)
	if c := w.Channels["evidence"]; strings.Join(c.Orderers, " ") != "o1.example o2.example" || c.Policies.Discovery.MaxTargets != 1 {
		t.Errorf("the channel: %+v", c)
	}
	if w.Client.Peer.Timeout.Connection != "5s" || w.Client.Orderer.Timeout.Connection != "5s" {
		t.Errorf("the timeouts: %+v", w.Client)
	}
	w = read(strings.Replace(twoOrganisations, "organization: court", "organization: court, peer: {timeout: {connection: 9s}}", 1) +
		"channels: {evidence: {orderers: [o2.example]}}\n")
	if c := w.Channels["evidence"]; strings.Join(c.Orderers, " ") != "o2.example" || w.Client.Peer.Timeout.Connection != "9s" || w.Client.Orderer.Timeout.Connection != "5s" {
		t.Errorf("what was set: %+v, %+v", c, w.Client)
	}
}
