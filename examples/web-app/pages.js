/** The pages, as HTML without script. */

const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

class Html {
  constructor(text) {
    this.text = text
  }
}

/** Every value is escaped, unless it was made by `html` itself: nobody can forget it. */
const html = (parts, ...values) => {
  const safe = (value) => {
    if (value instanceof Html) return value.text
    if (Array.isArray(value)) return value.map(safe).join('')
    return String(value ?? '').replaceAll(/[&<>"']/g, (character) => escapes[character])
  }
  return new Html(String.raw({ raw: parts }, ...values.map(safe)))
}

const page = (title, content) =>
  html`<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>${content}`
    .text

const alert = (message) => message && html`<p role="alert">${message}</p>`

const password = html`<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label></p>`

export const loginPage = (message) =>
  page(
    'Log in',
    html`${alert(message)}<form method="post" action="/login">
      <p><label>E-mail <input name="email" type="email" autocomplete="username" required></label></p>
      ${password}<p><button>Log in</button></p></form>`,
  )

export const shopPage = ({ account, data }, message) =>
  page(
    'Shop',
    html`${alert(message)}<p>Logged in as ${account.email}.</p>
      <ul>${Object.entries(data.cart ?? {}).map(([item, count]) => html`<li>${count} × ${item}</li>`)}</ul>
      <form method="post" action="/cart"><label>Item <input name="item" maxlength="100" required></label> <button>Add</button></form>
      <p><a href="/checkout">Check out</a></p>
      <form method="post" action="/logout"><button>Log out</button></form>`,
  )

export const confirmPage = ({ account }, message) =>
  page(
    'Is it you?',
    html`${alert(message)}<p>Before you pay, ${account.email}, your password once more.</p>
      <form method="post" action="/confirm">${password}<p><button>Go on</button></p></form>`,
  )

export const checkoutPage = () =>
  page('Check out', html`<form method="post" action="/checkout"><button>Pay</button></form>`)

export const messagePage = (message) =>
  page('Shop', html`${alert(message)}<p><a href="/">To the shop</a></p>`)
