// A peer that uses the CloudEvents Go SDK: sends described events, and describes the events it reads.
//
//	go-peer send structured|binary|batched URL   < one description per line
//	go-peer read                                 < one document or recorded request per line
//
// A description is {"attributes": {...}, "json": value} or "text" or "base64" instead of "json".
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
)

type described struct {
	Attributes map[string]any  `json:"attributes"`
	JSON       json.RawMessage `json:"json,omitempty"`
	Text       *string         `json:"text,omitempty"`
	Base64     *string         `json:"base64,omitempty"`
}

type given struct {
	Document *string           `json:"document"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
}

func main() {
	var err error
	switch {
	case len(os.Args) == 4 && os.Args[1] == "send":
		err = send(os.Args[2], os.Args[3])
	case len(os.Args) == 2 && os.Args[1] == "read":
		err = read()
	default:
		err = fmt.Errorf("usage: go-peer send MODE URL, or go-peer read")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func lines(each func([]byte) error) error {
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		if err := each(scanner.Bytes()); err != nil {
			return err
		}
	}
	return scanner.Err()
}

func build(line []byte) (cloudevents.Event, error) {
	var d described
	event := cloudevents.NewEvent()
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	if err := decoder.Decode(&d); err != nil {
		return event, err
	}
	for name, value := range d.Attributes {
		if err := set(&event, name, value); err != nil {
			return event, err
		}
	}
	media := event.DataContentType()
	switch {
	case d.Base64 != nil:
		data, err := base64.StdEncoding.DecodeString(*d.Base64)
		if err != nil {
			return event, err
		}
		return event, event.SetData(media, data)
	case d.Text != nil:
		return event, event.SetData(media, *d.Text)
	case d.JSON != nil:
		return event, event.SetData(media, d.JSON)
	}
	return event, nil
}

func set(event *cloudevents.Event, name string, value any) error {
	text := fmt.Sprint(value)
	switch name {
	case "specversion":
	case "id":
		event.SetID(text)
	case "source":
		event.SetSource(text)
	case "type":
		event.SetType(text)
	case "subject":
		event.SetSubject(text)
	case "datacontenttype":
		event.SetDataContentType(text)
	case "dataschema":
		event.SetDataSchema(text)
	case "time":
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return err
		}
		event.SetTime(at)
	default:
		if number, ok := value.(json.Number); ok {
			integer, err := number.Int64()
			if err != nil {
				return err
			}
			value = int32(integer)
		}
		event.SetExtension(name, value)
	}
	return nil
}

func send(mode, url string) error {
	var events []cloudevents.Event
	err := lines(func(line []byte) error {
		event, err := build(line)
		events = append(events, event)
		return err
	})
	if err != nil {
		return err
	}
	if mode == "batched" {
		request, err := cehttp.NewHTTPRequestFromEvents(context.Background(), url, events)
		if err != nil {
			return err
		}
		return post(request)
	}
	encoding := binding.WithForceStructured
	if mode == "binary" {
		encoding = binding.WithForceBinary
	}
	client, err := cloudevents.NewClientHTTP()
	if err != nil {
		return err
	}
	for _, event := range events {
		ctx := encoding(cloudevents.ContextWithTarget(context.Background(), url))
		if result := client.Send(ctx, event); !cloudevents.IsACK(result) {
			return result
		}
	}
	return nil
}

func post(request *http.Request) error {
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		return fmt.Errorf("answered %s", answer.Status)
	}
	return nil
}

func read() error {
	out := json.NewEncoder(os.Stdout)
	return lines(func(line []byte) error {
		event, err := parse(line)
		if err != nil {
			return err
		}
		return out.Encode(describe(event))
	})
}

func parse(line []byte) (*cloudevents.Event, error) {
	var g given
	if err := json.Unmarshal(line, &g); err != nil {
		return nil, err
	}
	if g.Document != nil {
		event := cloudevents.NewEvent()
		return &event, json.Unmarshal([]byte(*g.Document), &event)
	}
	body, err := base64.StdEncoding.DecodeString(g.Body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(http.MethodPost, "http://localhost/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range g.Headers {
		request.Header.Set(name, value)
	}
	return cehttp.NewEventFromHTTPRequest(request)
}

func describe(event *cloudevents.Event) described {
	attributes := map[string]any{
		"specversion": event.SpecVersion(),
		"id":          event.ID(),
		"source":      event.Source(),
		"type":        event.Type(),
	}
	optional := map[string]string{
		"subject":         event.Subject(),
		"datacontenttype": event.DataContentType(),
		"dataschema":      event.DataSchema(),
	}
	if !event.Time().IsZero() {
		optional["time"] = event.Time().Format(time.RFC3339Nano)
	}
	for name, value := range optional {
		if value != "" {
			attributes[name] = value
		}
	}
	for name, value := range event.Extensions() {
		text, err := types.Format(value)
		if err != nil {
			text = fmt.Sprint(value)
		}
		attributes[name] = text
	}
	d := described{Attributes: attributes}
	if data := event.Data(); data != nil {
		if strings.Contains(event.DataContentType(), "json") && json.Valid(data) {
			d.JSON = data
		} else {
			encoded := base64.StdEncoding.EncodeToString(data)
			d.Base64 = &encoded
		}
	}
	return d
}
