// Does with golang.org/x/oauth2 what each line of the standard input asks for.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

type question struct{ Do, Issuer, Id, Secret, Scope, Place, RefreshToken, Url string }

type answer map[string]interface{}

// Without a choice the library finds out by itself where Cardea wants the secret.
func (asked question) style() oauth2.AuthStyle {
	switch asked.Place {
	case "header":
		return oauth2.AuthStyleInHeader
	case "body":
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleAutoDetect
}

func (asked question) tokens() oauth2.TokenSource {
	url := asked.Issuer + "/oauth/token"
	if asked.Do == "service" {
		config := clientcredentials.Config{
			ClientID: asked.Id, ClientSecret: asked.Secret, TokenURL: url, AuthStyle: asked.style(),
			Scopes: strings.Fields(asked.Scope),
		}
		return config.TokenSource(context.Background())
	}
	config := oauth2.Config{
		ClientID: asked.Id, Endpoint: oauth2.Endpoint{TokenURL: url, AuthStyle: asked.style()},
	}
	return config.TokenSource(context.Background(), &oauth2.Token{RefreshToken: asked.RefreshToken})
}

// In this version of the library the error holds the response as text.
func refusal(err error) answer {
	var refused *oauth2.RetrieveError
	var body struct{ Error string }
	if errors.As(err, &refused) && json.Unmarshal(refused.Body, &body) == nil {
		return answer{"error": body.Error}
	}
	return answer{"error": err.Error()}
}

func (asked question) answer() answer {
	source := oauth2.ReuseTokenSource(nil, asked.tokens())
	token, err := source.Token()
	if err != nil {
		return refusal(err)
	}
	told := answer{
		"access_token": token.AccessToken, "refresh_token": token.RefreshToken,
		"expires_in": token.Extra("expires_in"), "scope": token.Extra("scope"),
	}
	if asked.Do == "app" {
		response, err := oauth2.NewClient(context.Background(), source).Get(asked.Url)
		if err != nil {
			return answer{"error": err.Error()}
		}
		response.Body.Close()
		told["status"] = response.StatusCode
	}
	return told
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked question
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			panic(err)
		}
		text, err := json.Marshal(asked.answer())
		if err != nil {
			panic(err)
		}
		fmt.Println(string(text))
	}
}
