package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
)

const help = `anchorcc · 锚定链码 · the chaincode "anchor" of Hyperledger Fabric, as an external service

在 Fabric 通道上保存骑缝账本的检查点。每个组织在自己的节点（peer）旁各运行一份，用自己的信任策略
核验会签人数之后才背书。
Keeps checkpoints of the Qifeng ledger on a Fabric channel. Every organisation runs its own beside its
peer, and endorses only what meets the seal quorum of its own trust policy.

用法 · use:
  anchorcc --id ID --listen HOST:PORT --cert FILE --key FILE --client-ca FILE --policies DIR --writers FILE

  --id ID            链码包标识（peer lifecycle chaincode calculatepackageid）
                     package id of the chaincode
  --listen HOST:PORT 监听地址，与包内 connection.json 的 address 一致
                     where to listen: the address in the package's connection.json
  --cert FILE        本服务的 TLS 证书（PEM）· certificate of this service (connection.json: root_cert)
  --key FILE         其私钥，文件权限须为 0600 · its key; nobody else may read the file
  --client-ca FILE   节点的客户端证书或其签发者（connection.json: client_cert）；无此证书者一律拒绝
                     the peer's client certificate, or its issuer; nobody else is let in
  --policies DIR     信任策略目录，每条链一个文件 <链标识>.txt；更换文件即生效，无须重启；文件有误则拒绝一切写入
                     trust policies, one file <chain id>.txt per chain; a replaced file counts at once,
                     a bad one refuses every put
  --writers FILE     哪些组织可以写哪条账本，更换即生效 · who may write which log; a replaced file counts at once:
                       qifeng-writers/v1
                       qifeng/<chain id> Org1MSP Org2MSP

退出码 · exit code: 0 正常停止 · stopped; 1 失败 · failed; 2 用法有误 · wrong use
`

type options struct {
	id, listen, cert, key, clientCA, policies, writers string
}

// run is the program; it returns the exit code.
func run(ctx context.Context, args []string, out io.Writer, log *slog.Logger) int {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(out, help)
		return 0
	}
	if err != nil {
		log.Error("参数有误 · wrong use: anchorcc --help", "err", err)
		return 2
	}
	if err := start(ctx, o, log); err != nil {
		log.Error("无法运行 · cannot run", "err", err)
		return 1
	}
	return 0
}

func parse(args []string) (*options, error) {
	var o options
	fs := flag.NewFlagSet("anchorcc", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	for _, f := range o.fields() {
		fs.StringVar(f.value, f.name, "", "")
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	for _, f := range o.fields() {
		if *f.value == "" {
			return nil, fmt.Errorf("--%s is missing", f.name)
		}
	}
	return &o, nil
}

type field struct {
	name  string
	value *string
}

func (o *options) fields() []field {
	return []field{{"id", &o.id}, {"listen", &o.listen}, {"cert", &o.cert}, {"key", &o.key},
		{"client-ca", &o.clientCA}, {"policies", &o.policies}, {"writers", &o.writers}}
}

func start(ctx context.Context, o *options, log *slog.Logger) error {
	conf, err := tlsConfig(o.cert, o.key, o.clientCA)
	if err != nil {
		return err
	}
	c := &contract{policies: newPolicies(o.policies), writers: newWriters(o.writers), log: log}
	if _, err := c.writers.file.read(); err != nil {
		log.Warn("every put is refused until the writers file is mended", "err", err)
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	return serve(ctx, l, o.id, conf, c)
}
