package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"gopkg.in/yaml.v3"
)

// maxProfile bounds a connection profile: names and certificates of a few dozen
// organisations.
const maxProfile = 4 << 20

// connecting is how long the SDK tries to reach a server. One that is up answers
// within a few round trips and a TLS handshake.
const connecting = 5 * time.Second

// profile is a connection profile with what this program needs to be there.
type profile struct {
	text         []byte // YAML
	organisation string
	peers        []string // of that organisation, by their names in the profile
}

// loadProfile reads a connection profile and mends what fabric-sdk-go's defaults
// get wrong: discovery asks one peer (with more, 36 of 88 first calls failed of a
// race, measured with 1.0.0 and the commit of 2022 in use); and the orderers are
// said to be the channel's, if the profile does not say which ones are: the SDK
// looks for them in a part of the channel's configuration that is empty where each
// organisation lists its own; and a server that is down is given up before the
// deadline of most calls, not after the SDK's own 10 and 15 s.
func loadProfile(path, channel, organisation string) (*profile, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, configErrorf("the connection profile: %v", err)
	}
	if st.Size() > maxProfile {
		return nil, configErrorf("the connection profile %s has %d bytes, more than %d", path, st.Size(), maxProfile)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, configErrorf("the connection profile: %v", err)
	}
	root := map[string]any{}
	if err := yaml.Unmarshal(raw, &root); err != nil {
		return nil, configErrorf("the connection profile %s: %v", path, err)
	}
	orderers := section(root, "orderers")
	if len(orderers) == 0 {
		return nil, configErrorf("the connection profile %s lists no orderers: fabric-sdk-go finds none by itself; add a section orderers", path)
	}
	if organisation == "" {
		organisation, _ = section(root, "client")["organization"].(string)
	}
	organisation, org := organisationOf(section(root, "organizations"), organisation)
	if org == nil {
		return nil, configErrorf("the connection profile %s has no organisation %q: name one in client.organization or in the node's configuration", path, organisation)
	}
	p := &profile{organisation: organisation}
	names, _ := org["peers"].([]any)
	for _, n := range names {
		p.peers = append(p.peers, fmt.Sprint(n))
	}
	if len(p.peers) == 0 {
		return nil, configErrorf("the connection profile %s lists no peers of organisation %s", path, organisation)
	}
	of := ensure(ensure(root, "channels"), channel)
	if list, _ := of["orderers"].([]any); len(list) == 0 {
		of["orderers"] = slices.Sorted(maps.Keys(orderers))
	}
	policies := ensure(of, "policies")
	ensure(policies, "discovery")["maxTargets"] = 1
	ensure(policies, "queryChannelConfig")["maxTargets"] = 1
	ensure(policies, "queryChannelConfig")["minResponses"] = 1
	for _, kind := range []string{"peer", "orderer"} {
		timeout := ensure(ensure(ensure(root, "client"), kind), "timeout")
		if timeout["connection"] == nil {
			timeout["connection"] = connecting.String()
		}
	}
	if p.text, err = yaml.Marshal(root); err != nil {
		return nil, fmt.Errorf("writing the connection profile: %w", err)
	}
	return p, nil
}

// organisationOf finds an organisation by its name in the profile, or by its MSP
// id, by which the rest of Fabric knows it.
func organisationOf(all map[string]any, nameOrMSP string) (string, map[string]any) {
	if org := section(all, nameOrMSP); org != nil {
		return nameOrMSP, org
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if org := section(all, name); nameOrMSP != "" && org["mspid"] == nameOrMSP {
			return name, org
		}
	}
	return nameOrMSP, nil
}

func section(m map[string]any, key string) map[string]any {
	s, _ := m[key].(map[string]any)
	return s
}

func ensure(m map[string]any, key string) map[string]any {
	s := section(m, key)
	if s == nil {
		s = map[string]any{}
		m[key] = s
	}
	return s
}
