package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
)

// serve answers the peer on a listener until ctx is done, then lets the calls in
// flight end.
func serve(ctx context.Context, l net.Listener, id string, conf *tls.Config, c *contract) error {
	s := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(conf)),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage), grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(5*time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
		// as often as peers ask by default
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Minute, PermitWithoutStream: true}),
	)
	peer.RegisterChaincodeServer(s, &shim.ChaincodeServer{CCID: id, CC: c})
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(l) }()
	c.log.Info("serving", "address", l.Addr().String(), "id", id)
	select {
	case err := <-failed:
		return fmt.Errorf("serving the peer: %w", err)
	case <-ctx.Done():
	}
	// The peer's stream never ends by itself. New ones are refused from here on.
	go s.GracefulStop()
	c.await(drain)
	s.Stop()
	<-failed
	c.log.Info("stopped")
	return nil
}

// await waits until no call is in flight and the last answers have left.
func (c *contract) await(limit time.Duration) {
	idle := make(chan struct{})
	go func() { c.running.Wait(); close(idle) }()
	select {
	case <-idle:
		time.Sleep(flush) // the shim sends an answer after the call has returned
	case <-time.After(limit):
		c.log.Warn("calls were in flight and are cut off")
	}
}

// tlsConfig demands a certificate of the peer.
func tlsConfig(certFile, keyFile, clientFile string) (*tls.Config, error) {
	info, err := os.Stat(keyFile)
	if err != nil {
		return nil, fmt.Errorf("the key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("the key %s may be read by others (mode %04o): chmod 600 %s", keyFile, mode, keyFile)
	}
	var pems [3][]byte
	for i, path := range []string{certFile, keyFile, clientFile} {
		if pems[i], err = readFile(path, maxKey); err != nil {
			return nil, err
		}
	}
	pair, err := tls.X509KeyPair(pems[0], pems[1])
	if err != nil {
		return nil, fmt.Errorf("certificate and key: %w", err)
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(pems[2]) {
		return nil, errors.New("--client-ca holds no certificate")
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}, nil
}
