package main

import (
	"fmt"
	"os"

	"gopkg.in/yaml.v3"
)

// maxProfile bounds a connection profile: names and certificates of a few dozen
// organisations.
const maxProfile = 4 << 20

// profile is a connection profile with what this program needs to be there.
type profile struct {
	text         []byte // YAML
	organisation string
	peers        []string // of that organisation, by their names in the profile
}

// loadProfile reads a connection profile and mends what fabric-sdk-go's defaults
// get wrong: discovery asks one peer (with more, 36 of 88 first calls failed of a
// race, measured with 1.0.0 and the commit of 2022 in use).
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
	if section(root, "orderers") == nil {
		return nil, configErrorf("the connection profile %s lists no orderers: fabric-sdk-go finds none by itself; add a section orderers", path)
	}
	if organisation == "" {
		organisation, _ = section(root, "client")["organization"].(string)
	}
	org := section(section(root, "organizations"), organisation)
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
	policies := ensure(ensure(ensure(root, "channels"), channel), "policies")
	ensure(policies, "discovery")["maxTargets"] = 1
	ensure(policies, "queryChannelConfig")["maxTargets"] = 1
	ensure(policies, "queryChannelConfig")["minResponses"] = 1
	if p.text, err = yaml.Marshal(root); err != nil {
		return nil, fmt.Errorf("writing the connection profile: %w", err)
	}
	return p, nil
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
