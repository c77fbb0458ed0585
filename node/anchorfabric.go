package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"qifeng/anchor"
	driver "qifeng/anchor/fabric"
	"qifeng/anchor/fabric/sdkwire"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/fabric"
)

// peersApart says that peers of a network do not agree, which may pass.
func peersApart(err error) bool { return errors.Is(err, driver.ErrApart) }

// fabricNetwork reaches a channel as its table says. It connects at the first call.
func fabricNetwork(h home, c *AnchorConfig, log *slog.Logger) (driver.Network, error) {
	if c.driver() == "sdk" {
		return driver.OpenSDK(driver.SDK{Program: h.path(c.SDKProgram), Logger: log, Open: sdkwire.Open{Profile: h.path(c.SDKConfig),
			Organisation: c.MSP, Certificate: h.path(c.Cert), Key: h.path(c.Key), Channel: c.Channel, Chaincode: c.chaincode()}})
	}
	return driver.OpenGateway(driver.GatewayConfig{Endpoint: c.Endpoint, TLSCA: h.path(c.TLSCA), TLSName: c.TLSName, MSP: c.MSP,
		Certificate: h.path(c.Cert), Key: h.path(c.Key), Channel: c.Channel, Chaincode: c.chaincode()})
}

// fabricDriver makes the driver of a channel as the anchor roots have pinned it.
func fabricDriver(h home, name string, c *AnchorConfig, roots *proof.AnchorRoots, policy *checkpoint.Policy, log *slog.Logger) (anchor.Anchor, error) {
	for i := range roots.Fabric {
		pinned := &roots.Fabric[i]
		if pinned.Name != name {
			continue
		}
		if pinned.Channel != c.Channel || pinned.Chaincode != c.chaincode() {
			return nil, fmt.Errorf("channel, chaincode: the anchor roots have %s and %s: make them anew with qifeng anchor roots --force", pinned.Channel, pinned.Chaincode)
		}
		n, err := fabricNetwork(h, c, log.With("anchor", name))
		if err != nil {
			return nil, err
		}
		return driver.New(n, pinned, log.With("anchor", name), driver.Shorten(policy))
	}
	return nil, fmt.Errorf("the anchor roots know no channel %s", name)
}

// fabricPin reads from the network what the anchor roots pin of a channel. The
// notes say what they leave out.
func fabricPin(ctx context.Context, h home, name string, c *AnchorConfig, log *slog.Logger) (pinned *fabric.Channel, notes []proof.Words, err error) {
	n, err := fabricNetwork(h, c, log)
	if err != nil {
		return nil, nil, err
	}
	pinned, notes, err = driver.Roots(ctx, n, name, c.Channel, c.chaincode())
	if e := n.Close(); err == nil {
		err = e
	}
	return pinned, notes, err
}
