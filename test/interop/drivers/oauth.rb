# Does with the gem oauth2 what each line of the standard input asks for.
require "json"
require "oauth2"

$stdout.sync = true

def client(question, id, secret)
  # Without a choice the library takes its default: the secret in the body.
  places = { "header" => { auth_scheme: :basic_auth }, "body" => { auth_scheme: :request_body } }
  options = { site: question["issuer"], token_url: "/oauth/token" }
  OAuth2::Client.new(id, secret, **options, **places.fetch(question["place"], {}))
end

def service(question)
  client(question, question["id"], question["secret"]).client_credentials.get_token(scope: question["scope"]).to_hash
end

def app(question)
  held = OAuth2::AccessToken.new(client(question, question["id"], nil), "", refresh_token: question["refreshToken"])
  token = held.refresh!
  token.to_hash.merge(status: token.get(question["url"]).status)
end

$stdin.each_line do |line|
  question = JSON.parse(line)
  answer =
    begin
      question["do"] == "service" ? service(question) : app(question)
    rescue OAuth2::Error => e
      { error: e.code }
    end
  puts JSON.generate(answer)
end
